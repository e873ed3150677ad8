"""The training objective by finite differences, its optimum against a dense Newton fit, and the design matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dense_reference import blobs, gradient, loss, optimum

from lsi_engine.errors import Cancelled, NotConverged
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.training import conjugate_gradients
from lsi_engine.training import newton as linear
from lsi_engine.training.softmax_objective import SoftmaxObjective, as_targets, gradient_norm


def _objective(problem, wd: float, features=None) -> SoftmaxObjective:
    features = problem.features if features is None else features
    design = Design(features, FeatureScaling.identity(features.shape[1]))
    return SoftmaxObjective(design, as_targets(problem.labels, "cpu"), problem.classes, wd)


@pytest.mark.parametrize("shape", [(20, 3, 2), (25, 5, 4)])
def test_gradient_and_curvature_by_finite_differences(shape):
    problem, wd = blobs(1, *shape), 0.05
    objective = _objective(problem, wd)
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(shape[2], shape[1] + 1, generator=generator, dtype=torch.float64)
    value, slope = objective.value_and_gradient(theta)
    assert value == pytest.approx(loss(theta.numpy(), problem.design, problem.labels, shape[0] * wd), rel=1e-12)
    np.testing.assert_allclose(
        slope, gradient(theta.numpy(), problem.design, problem.labels, shape[0] * wd), rtol=1e-10, atol=1e-12
    )
    step = 1e-6
    probabilities = objective.probabilities(theta)
    for _ in range(5):
        direction = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        ahead, slope_ahead = objective.value_and_gradient(theta + step * direction)
        behind, slope_behind = objective.value_and_gradient(theta - step * direction)
        assert (ahead - behind) / (2 * step) == pytest.approx(float((slope * direction).sum()), rel=1e-6, abs=1e-7)
        product = objective.hessian_product(probabilities, direction, torch.float64)
        torch.testing.assert_close(product, (slope_ahead - slope_behind) / (2 * step), rtol=1e-6, atol=1e-6)
        single = objective.hessian_product(probabilities, direction, torch.float32)
        assert float((single - product).norm() / product.norm()) < 1e-6


@pytest.mark.parametrize("shape", [(50, 4, 2), (30, 40, 3), (120, 6, 10)])
@pytest.mark.parametrize("wd", [1e-4, 0.01, 1.0])
def test_fit_reaches_the_dense_optimum(shape, wd):
    problem = blobs(2, *shape)
    objective = _objective(problem, wd)
    probe = linear.fit_linear_probe(objective, tolerance=1e-12)
    expected = optimum(problem.design, problem.labels, problem.classes, shape[0] * wd)
    np.testing.assert_allclose(probe.theta, expected, rtol=1e-5, atol=1e-7)
    assert probe.gradient_norm == pytest.approx(gradient_norm(objective, probe.theta), abs=1e-15)
    assert probe.gradient_norm < 1e-10
    # The optimum does not depend on where the fit starts; the start is not written to.
    start = torch.randn(probe.theta.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kept = start.clone()
    again = linear.fit_linear_probe(objective, tolerance=1e-12, start=start)
    np.testing.assert_allclose(again.theta, probe.theta, rtol=1e-5, atol=1e-7)
    assert torch.equal(start, kept)


def test_fit_with_a_sampled_preconditioner_reaches_the_same_optimum(monkeypatch):
    problem = blobs(6, 400, 12, 4)
    scales = np.logspace(-2, 2, 12)
    objective = _objective(problem, 1e-4, problem.features * scales)
    plain = linear.fit_linear_probe(objective, tolerance=1e-11)
    monkeypatch.setattr(conjugate_gradients, "PATIENCE", 1)
    monkeypatch.setattr(conjugate_gradients, "PRECONDITIONER_ROWS", 100)
    sampled = linear.fit_linear_probe(objective, tolerance=1e-11)
    np.testing.assert_allclose(plain.theta, sampled.theta, rtol=1e-4, atol=1e-6)


def test_fit_that_cannot_converge_says_so_with_the_gradient_norm(monkeypatch):
    problem = blobs(2, 50, 4, 2)
    monkeypatch.setattr(linear, "MAXIMUM_NEWTON_STEPS", 1)
    with pytest.raises(NotConverged, match=r"after 1 Newton steps at gradient norm .*e-\d+, above"):
        linear.fit_linear_probe(_objective(problem, 1e-4))


def test_fit_reports_progress_and_can_be_cancelled():
    problem = blobs(2, 50, 4, 2)
    seen = []
    probe = linear.fit_linear_probe(_objective(problem, 0.01), progress=lambda *report: seen.append(report))
    assert len(seen) > probe.hessian_products  # a product of a large probe takes a second: each asks
    assert seen[-1] == ("fit", 100, 100)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)

    def cancel(stage: str, done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        linear.fit_linear_probe(_objective(problem, 0.01), progress=cancel)


def test_standardize_handles_constant_columns_and_float16():
    generator = np.random.default_rng(0)
    features = generator.normal(3.0, 2.0, size=(5000, 4)).astype(np.float16)
    features[:, 2] = 0.1
    scaling = FeatureScaling.standardize(features)
    exact = features.astype(np.float64)
    np.testing.assert_allclose(scaling.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.scale[[0, 1, 3]], exact.std(axis=0)[[0, 1, 3]], rtol=1e-12)
    assert scaling.scale[2] == 1.0
    block = Design(features, scaling).block(slice(0, 5000), torch.float64)
    assert torch.isfinite(block).all()
    np.testing.assert_allclose(block[:, 2], 0.0, atol=1e-12)
    assert (block[:, -1] == 1).all()
