"""Precisions, their streamed products and the Gaussian KL, against laplace-torch, dense sums and exact arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from dense_reference import blobs, curvature, fast_curvature, kl, optimum
from hypothesis import given, settings
from hypothesis import strategies as st

from lsi_engine.curvature.gauss_newton import ggn, ggn_diagonal
from lsi_engine.errors import InputError
from lsi_engine.features import torchvision_guard
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics import grams
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.numerics.divergence import gaussian_kl, x_minus_log1p
from lsi_engine.numerics.products import inverse


def _basis(classes: int) -> torch.Tensor:
    return contrasts(classes, dtype=torch.float64, device=torch.device("cpu"))


def _random_case(samples: int, dimension: int, classes: int, dtype=np.float64):
    generator = np.random.default_rng(samples + dimension)
    features = generator.normal(size=(samples, dimension)).astype(dtype)
    design = Design(features, FeatureScaling.identity(dimension))
    theta = 0.5 * generator.normal(size=(classes, dimension + 1))
    probabilities = torch.softmax(torch.from_numpy(np.hstack([features, np.ones((samples, 1))]) @ theta.T), dim=1)
    return features, theta, design, probabilities


@pytest.mark.parametrize("dimension", [1, 9, 94, 95, 96, 150, 191, 300])
@pytest.mark.parametrize("classes", [2, 3])
def test_ggn_equals_the_dense_sum_for_any_number_of_columns(dimension, classes):
    """Columns D + 1 below, at and above the panel width (96), and no multiple of it; two blocks of rows."""
    features, theta, design, probabilities = _random_case(70, dimension, classes)
    matrix = ggn(design, probabilities, _basis(classes), dtype=torch.float64).numpy()
    dense = fast_curvature(theta, np.hstack([features, np.ones((70, 1))]))
    lift = np.kron(_basis(classes).numpy(), np.eye(dimension + 1))
    np.testing.assert_allclose(matrix, lift.T @ dense @ lift, atol=1e-10)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)
    # Nothing of the curvature lies outside the contrasts.
    np.testing.assert_allclose(lift @ matrix @ lift.T, dense, atol=1e-10)


def test_ggn_sums_over_blocks_and_over_chosen_rows():
    features, theta, design, probabilities = _random_case(grams.GRAM_ROWS + 37, 6, 3)
    lift = np.kron(_basis(3).numpy(), np.eye(7))
    x = np.hstack([features, np.ones((len(features), 1))])
    whole = ggn(design, probabilities, _basis(3), dtype=torch.float64).numpy()
    np.testing.assert_allclose(lift @ whole @ lift.T, fast_curvature(theta, x), rtol=1e-9, atol=1e-8)
    picked = torch.tensor([2080, 3, 3, 1500])
    some = ggn(design, probabilities, _basis(3), dtype=torch.float64, rows=picked).numpy()
    np.testing.assert_allclose(lift @ some @ lift.T, fast_curvature(theta, x[picked.numpy()]), atol=1e-10)


def test_ggn_diagonal_equals_the_dense_diagonal():
    features, theta, design, probabilities = _random_case(40, 6, 4)
    dense = curvature(theta, np.hstack([features, np.ones((40, 1))]))
    np.testing.assert_allclose(ggn_diagonal(design, probabilities).numpy().ravel(), np.diag(dense), rtol=1e-12)


@pytest.mark.parametrize("columns", [1, 40, 128, 129, 256, 300])
@pytest.mark.parametrize("size", [1, 3])
def test_quadratic_forms_equal_the_dense_ones(columns, size):
    generator = torch.Generator().manual_seed(columns)
    square = torch.randn(size * columns, size * columns, generator=generator, dtype=torch.float64)
    matrix = square + square.T
    x = torch.randn(11, columns, generator=generator, dtype=torch.float64)
    blocks = matrix.view(size, columns, size, columns)
    expected = torch.einsum("ni,aibj,nj->nab", x, blocks, x)
    exact = grams.QuadraticForms(matrix, size, torch.float64)(x)
    torch.testing.assert_close(exact, expected, rtol=1e-11, atol=1e-10)
    single = grams.QuadraticForms(matrix, size, torch.float32)(x.float())
    assert single.dtype == torch.float64
    # float32 products: 24-bit inputs, so 1e-6 of the largest form.
    assert float((single - expected).abs().max()) < 2e-6 * float(expected.abs().max())


def test_float32_ggn_is_within_a_millionth_of_float64():
    _, _, design, probabilities = _random_case(5000, 30, 4, dtype=np.float32)
    exact = ggn(design, probabilities, _basis(4), dtype=torch.float64)
    single = ggn(design, probabilities, _basis(4), dtype=torch.float32)
    assert single.dtype == torch.float64
    assert float((single - exact).norm() / exact.norm()) < 1e-6


def test_inverse_names_what_is_not_positive_definite():
    with pytest.raises(InputError, match=r"the Hessian with weight decay 0\.1"):
        inverse(-torch.eye(3, dtype=torch.float64), lambda: "the Hessian with weight decay 0.1")
    matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(inverse(matrix, str) @ matrix, torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("structure", ["full", "diag"])
def test_precision_covariance_and_kl_agree_with_laplace_torch(structure):
    """laplace-torch 0.3: precision = summed GGN + prior_precision·I, weights first and biases last."""
    torchvision_guard.install()
    laplace = pytest.importorskip("laplace")
    problem, wd, delta = blobs(4, 60, 5, 3), 0.02, 1.5
    x, y = problem.design, problem.labels
    # laplace-torch's order of the parameters as indices into rows of [w, b].
    order = np.concatenate([np.arange(18).reshape(3, 6)[:, :5].ravel(), np.arange(18).reshape(3, 6)[:, 5]])
    basis = _basis(3)
    lift = torch.kron(basis, torch.eye(6, dtype=torch.float64))
    posteriors = []
    for keep in (np.arange(60), np.arange(1, 60)):
        theta = optimum(x[keep], y[keep], 3, len(keep) * wd)
        model = torch.nn.Linear(5, 3).double()
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(theta[:, :5]))
            model.bias.copy_(torch.from_numpy(theta[:, 5]))
        data = torch.utils.data.TensorDataset(torch.from_numpy(x[keep, :5]), torch.from_numpy(y[keep]))
        theirs = laplace.Laplace(
            model, "classification", subset_of_weights="all", hessian_structure=structure, prior_precision=delta
        )
        theirs.fit(torch.utils.data.DataLoader(data, batch_size=16))
        design = Design(x[keep, :5], FeatureScaling.identity(5))
        p = torch.softmax(torch.from_numpy(x[keep] @ theta.T), dim=1)
        if structure == "full":
            ours = lift @ ggn(design, p, basis, dtype=torch.float64) @ lift.T
            ours.diagonal().add_(delta)
            ours = ours[order][:, order]
            torch.testing.assert_close(inverse(ours, str), theirs.posterior_covariance.detach(), rtol=1e-5, atol=1e-7)
        else:
            ours = (ggn_diagonal(design, p) + delta).ravel()[order]
            torch.testing.assert_close(1 / ours, theirs.posterior_variance.detach(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(ours, theirs.posterior_precision.detach().to(torch.float64), rtol=1e-5, atol=1e-5)
        posteriors.append((theirs.mean.detach().to(torch.float64), ours))
    (mean, precision), (other_mean, other_precision) = posteriors
    parts = gaussian_kl(mean, precision, other_mean, other_precision)
    if structure == "full":
        p, q = (
            torch.distributions.MultivariateNormal(m, precision_matrix=pr)
            for m, pr in ((mean, precision), (other_mean, other_precision))
        )
        expected = torch.distributions.kl_divergence(p, q)
    else:
        p, q = (
            torch.distributions.Normal(m, pr.rsqrt()) for m, pr in ((mean, precision), (other_mean, other_precision))
        )
        expected = torch.distributions.kl_divergence(p, q).sum()
    assert float(parts.total) == pytest.approx(float(expected), rel=1e-6)


@given(seed=st.integers(0, 10_000), size=st.integers(1, 12), closeness=st.sampled_from([1.0, 1e-2, 1e-4]))
@settings(max_examples=40, deadline=None)
def test_gaussian_kl_equals_the_textbook_formula(seed, size, closeness):
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(size, size))
    precision = root @ root.T + size * np.eye(size)
    change = generator.normal(size=(size, size))
    other = precision + closeness * (change @ change.T)
    mean, shift = generator.normal(size=size), closeness * generator.normal(size=size)
    tensors = [torch.from_numpy(a) for a in (mean, precision, mean + shift, other)]
    parts = gaussian_kl(*tensors)
    expected = kl(mean, precision, mean + shift, other)
    assert float(parts.mean_shift) == pytest.approx(expected[0], rel=1e-10)
    assert float(parts.covariance) == pytest.approx(expected[1], rel=1e-9, abs=1e-12)
    assert float(parts.mean_shift) >= 0
    assert float(parts.covariance) >= 0
    diagonal = gaussian_kl(tensors[0], tensors[1].diagonal(), tensors[2], tensors[3].diagonal())
    expected = kl(mean, np.diag(np.diag(precision)), mean + shift, np.diag(np.diag(other)))
    assert float(diagonal.mean_shift) == pytest.approx(expected[0], rel=1e-10)
    assert float(diagonal.covariance) == pytest.approx(expected[1], rel=1e-9, abs=1e-12)


def test_gaussian_kl_of_nearly_equal_precisions_keeps_its_digits():
    """Where trace − K + log-determinant would return nothing but rounding."""
    precision = torch.diag(torch.tensor([3.0, 5.0, 7.0], dtype=torch.float64))
    relative = 1e-9
    parts = gaussian_kl(torch.zeros(3).double(), precision, torch.zeros(3).double(), precision * (1 + relative))
    assert float(parts.covariance) == pytest.approx(3 * relative**2 / 4, rel=1e-6)


@given(st.floats(-0.999, 50).filter(lambda x: abs(x) > 1e-20))
@settings(max_examples=200, deadline=None)
def test_x_minus_log1p_is_accurate_and_never_negative(x):
    with mpmath.workdps(60):
        exact = float(mpmath.mpf(x) - mpmath.log1p(mpmath.mpf(x)))
    value = float(x_minus_log1p(torch.tensor(x, dtype=torch.float64)))
    assert value >= 0
    assert value == pytest.approx(exact, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("x", [0.0, 1e-300, -1e-12, 1e-8, -1e-4, 0.00999, 0.01001, -0.01001, -0.00999])
def test_x_minus_log1p_where_its_series_begins(x):
    with mpmath.workdps(400):
        exact = float(mpmath.mpf(x) - mpmath.log1p(mpmath.mpf(x)))
    assert float(x_minus_log1p(torch.tensor(x, dtype=torch.float64))) == pytest.approx(exact, rel=1e-11)
