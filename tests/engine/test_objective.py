"""Losses on linear logits: their derivatives, and their leave-one-out against problems solved again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from dense_reference import blobs, kl
from scipy.stats import spearmanr

from lsi_engine import Gaussian, InputError, Objective, Sigmoid, Softmax, score, score_objective


class Poisson(Objective):
    """Counts with a log-linear rate; only what a new loss must say."""

    name = "poisson"

    def encode(self, targets, samples):
        return torch.as_tensor(np.asarray(targets, dtype=np.float64)).view(samples, -1)

    def outputs(self, targets):
        return targets.shape[1]

    def values(self, logits, targets):
        return (logits.exp() - targets * logits).sum(dim=1)


class DoubleWell(Poisson):
    """Two minima: not convex between them."""

    name = "double well"

    def values(self, logits, targets):
        return (logits.square() - targets.square()).square().sum(dim=1)


CASES = {
    "softmax": (Softmax(range(4)), torch.tensor([0, 3, 2, 2, 1])),
    "sigmoid": (Sigmoid(), torch.tensor([[0.0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]])),
    "gaussian": (Gaussian(0.3), torch.arange(20.0).view(5, 4)),
    "gaussian, noise by output": (Gaussian([0.3, 1, 2, 0.01]), torch.arange(20.0).view(5, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_stated_derivatives_are_those_of_the_value(case):
    objective, targets = CASES[case]
    targets = targets.double() if targets.is_floating_point() else targets
    logits = 2 * torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name in ("residual", "curvature", "curvature_slope"):
        stated = getattr(objective, name)(logits, targets)
        derived = getattr(Objective, name)(objective, logits, targets)
        torch.testing.assert_close(stated, derived, rtol=1e-10, atol=1e-12)
    dense = torch.diag_embed(objective.curvature(logits, targets).diagonal(dim1=1, dim2=2))
    if objective.structure != "dense":
        torch.testing.assert_close(dense, objective.curvature(logits, targets))


def test_values_are_negative_log_likelihoods():
    logits = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    normal = torch.distributions.Normal(logits, torch.tensor([0.5, 2.0], dtype=torch.float64))
    y = torch.tensor([[0.3, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(Gaussian([0.25, 4.0]).values(logits, y), -normal.log_prob(y).sum(dim=1))
    bernoulli = torch.distributions.Bernoulli(logits=logits)
    y = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(Sigmoid().values(logits, y), -bernoulli.log_prob(y).sum(dim=1))


@pytest.mark.parametrize("shape", [(60, 4, 2), (110, 5, 10), (30, 12, 3), (40, 20, 4)], ids=str)
@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize("prior_precision", ["weight_decay", 1.0])
@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
def test_softmax_equals_score(shape, hessian, prior_precision, loo_prior):
    """Two programs for the same numbers: this one in all C classes, ``score`` in their C − 1 contrasts."""
    problem = blobs(3, *shape)
    settings = {
        "weight_decay": 0.02,
        "hessian": hessian,
        "prior_precision": prior_precision,
        "loo_prior": loo_prior,
        "tolerance": 1e-12,
        "feature_scaling": "standardize",
    }
    names = np.array([f"class {c}" for c in problem.labels])
    expected = score(problem.features, names, **settings)
    table = score_objective(problem.features, names, objective="softmax", **settings)
    left, right = expected.to_frame(), table.to_frame()
    assert set(left.columns) < set(right.columns)
    numbers = left.select_dtypes("number").columns
    np.testing.assert_allclose(right[numbers], left[numbers], rtol=1e-8, atol=1e-12)
    for column in ("loo_predicted_label", "suggested_label"):
        np.testing.assert_array_equal(right[column].isna(), left[column].isna())
        present = left[column].notna()
        assert list(right.loc[present, column]) == list(left.loc[present, column])
    np.testing.assert_allclose(table.loo_loss, -np.log(expected.loo_probability), rtol=1e-8)
    np.testing.assert_allclose(table.bias, expected.bias, atol=1e-9)


#: value, first and second derivative of each loss in one logit, in NumPy: nothing of the engine's
LOSSES = {
    "sigmoid": (
        lambda f, y: np.logaddexp(0, f) - y * f,
        lambda f, y: 1 / (1 + np.exp(-f)) - y,
        lambda f: 1 / (2 + np.exp(f) + np.exp(-f)),
    ),
    "poisson": (lambda f, y: np.exp(f) - y * f, lambda f, y: np.exp(f) - y, np.exp),
    "gaussian": (
        lambda f, y: np.square(f - y) / 2 + np.log(2 * np.pi) / 2,
        lambda f, y: f - y,
        lambda f: np.ones_like(f),
    ),
}


def _refits(loss, features, targets, wd, hessian, delta, loo_prior, noise=1.0):
    """Each leave-one-out optimum found by dense Newton steps: both parts of LSI, own loss and logits.

    Outputs are problems of their own, and the parts of their divergences add up. ``noise`` scales a Gaussian loss.
    """
    x = np.hstack([features, np.ones((len(features), 1))])
    samples, identity = len(x), np.eye(x.shape[1])
    value, first, second = LOSSES[loss]
    scale = np.broadcast_to(noise, targets.shape[1])

    def optimum(theta, keep, y, variance, ridge):
        for _ in range(60):
            f = x[keep] @ theta
            slope = x[keep].T @ first(f, y[keep]) / variance + ridge * theta
            if np.linalg.norm(slope) < 1e-12 * samples:
                break
            curvature = (x[keep].T * second(f)) @ x[keep] / variance + ridge * identity
            theta = theta - np.linalg.solve(curvature, slope)
        assert np.linalg.norm(slope) < 1e-9
        return theta

    def precision(theta, keep, variance):
        matrix = (x[keep].T * second(x[keep] @ theta)) @ x[keep] / variance + delta * identity
        return np.diag(np.diag(matrix)) if hessian == "diag" else matrix

    whole = np.ones(samples, dtype=bool)
    parts, own, logits = np.zeros((2, samples)), np.zeros(samples), np.zeros(targets.shape)
    for o, variance in enumerate(scale):
        y = targets[:, o]
        theta = optimum(np.zeros(x.shape[1]), whole, y, variance, samples * wd)
        base = precision(theta, whole, variance)
        for i in range(samples):
            keep = np.arange(samples) != i
            moved = optimum(theta, keep, y, variance, (samples - (loo_prior == "rescaled")) * wd)
            parts[:, i] += kl(theta, base, moved, precision(moved, keep, variance))
            logits[i, o] = x[i] @ moved
            deviation = np.sqrt(variance)
            own[i] += (
                value(logits[i, o] / deviation, y[i] / deviation) if loss == "gaussian" else value(logits[i, o], y[i])
            )
        own += np.log(deviation) if loss == "gaussian" else 0.0
    return parts[0], parts[1], own, logits


@pytest.mark.parametrize("noise", [0.5, [0.5, 0.02]], ids=str)
@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize("prior_precision", ["weight_decay", 1.0])
@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
@pytest.mark.parametrize("dimension", [4, 40])
def test_regression_is_exact(noise, hessian, prior_precision, loo_prior, dimension):
    """Every sample really left out and the problem solved again: equal to 1e-8, with more weights than samples too."""
    random = np.random.default_rng(0)
    samples, wd = 25, 0.03
    features = random.normal(size=(samples, dimension)) + 1
    targets = features[:, :2] @ random.normal(size=(2, 2)) + 0.5 * random.normal(size=(samples, 2)) + 3
    delta = samples * wd if prior_precision == "weight_decay" else prior_precision
    shift, covariance, loss, logits = _refits("gaussian", features, targets, wd, hessian, delta, loo_prior, noise)
    table = score_objective(
        features,
        targets,
        objective=Gaussian(noise),
        weight_decay=wd,
        hessian=hessian,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
    )
    np.testing.assert_allclose(table.lsi_mean_shift, shift, rtol=1e-8)
    np.testing.assert_allclose(table.lsi_covariance, covariance, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(table.loo_loss, loss, rtol=1e-8)
    np.testing.assert_allclose(table.loo_prediction, logits, rtol=1e-8)
    frame = table.to_frame()
    np.testing.assert_allclose(frame["loo_error"], np.sqrt(np.square(logits - targets).mean(axis=1)), rtol=1e-8)
    assert table.info["newton_steps"] <= 2


#: weight decay, prior precision, then the stated errors: median and largest of LSI, largest of a probability.
SIGMOID = [(0.02, "weight_decay", 0.01, 0.08, 0.002), (0.02, 1.0, 0.01, 0.08, 0.002)]


@pytest.mark.parametrize("case", SIGMOID, ids=str)
@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_several_labels_agree_with_exact_refits(case, hessian):
    wd, prior_precision, median, largest, probability = case
    features, targets = _tags(150)
    delta = len(features) * wd if prior_precision == "weight_decay" else prior_precision
    shift, covariance, loss, logits = _refits("sigmoid", features, targets, wd, hessian, delta, "rescaled")
    table = score_objective(
        features,
        targets,
        objective="sigmoid",
        weight_decay=wd,
        hessian=hessian,
        prior_precision=prior_precision,
    )
    error = np.abs(table.lsi / (shift + covariance) - 1)
    assert spearmanr(table.lsi, shift + covariance).statistic >= 0.999
    assert np.median(error) <= median
    assert error.max() <= largest
    assert np.abs(table.loo_prediction - 1 / (1 + np.exp(-logits))).max() <= probability
    np.testing.assert_allclose(table.loo_loss, loss, rtol=0.03, atol=1e-3)


def _tags(samples: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    features = random.normal(size=(samples, 3))
    chance = 1 / (1 + np.exp(-2 * features @ random.normal(size=(3, 3))))
    return features, (random.random(chance.shape) < chance).astype(np.float64)


def test_independent_labels_are_problems_of_their_own():
    """Blocks add up: what one label says is what a one-label problem says, and a wrong tag is named."""
    features, targets = _tags(200)
    likely = (features @ np.array([2.0, 0, 0]) > 0).astype(np.float64)
    targets[:, 1] = likely
    wrong = int(np.abs(features[:, 0]).argmax())
    targets[wrong, 1] = 1 - targets[wrong, 1]
    frame = pd.DataFrame(targets, columns=["cat", "dog", "bird"])
    whole = score_objective(features, frame, objective="sigmoid", hessian="full")
    single = [score_objective(features, targets[:, k], objective="sigmoid", hessian="full") for k in range(3)]
    np.testing.assert_allclose(whole.lsi, sum(table.lsi for table in single), rtol=1e-7)
    np.testing.assert_allclose(whole.leverage, sum(table.leverage for table in single), rtol=1e-7)
    row = whole.to_frame().loc[wrong]
    assert row["doubted_label"] == "dog"
    assert row["suspicion"] == pytest.approx(1 - np.exp(-single[1].loo_loss[wrong]), rel=1e-6)
    assert whole.to_frame()["suspicion"].idxmax() == wrong


def test_sigmoid_of_one_label_is_softmax_of_two():
    """With the penalty of one logit difference on both sides: wd of the single logit is half of the pair's."""
    problem = blobs(2, 60, 4, 2)
    pair = score(problem.features, problem.labels, hessian="full", weight_decay=0.02, tolerance=1e-12)
    single = score_objective(
        problem.features, problem.labels, objective="sigmoid", hessian="full", weight_decay=0.01, tolerance=1e-12
    )
    np.testing.assert_allclose(single.loo_prediction[:, 0], pair.probabilities[:, 1], rtol=1e-8)
    np.testing.assert_allclose(single.lsi, pair.lsi, rtol=1e-7)


@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_a_loss_of_ones_own_needs_its_value_only(hessian):
    """Poisson counts, derivatives by autograd: against exact refits, within O(K/N)."""
    random = np.random.default_rng(4)
    features = random.normal(size=(120, 2))
    rate = np.exp(features @ np.array([[0.5, -0.2], [0.1, 0.6]]))
    targets = random.poisson(rate).astype(np.float64)
    shift, covariance, loss, _ = _refits("poisson", features, targets, 0.02, hessian, 120 * 0.02, "rescaled")
    table = score_objective(features, targets, objective=Poisson(), weight_decay=0.02, hessian=hessian)
    error = np.abs(table.lsi / (shift + covariance) - 1)
    assert table.info["objective"] == "poisson"
    assert spearmanr(table.lsi, shift + covariance).statistic >= 0.999
    assert np.median(error) <= 0.02
    assert np.median(np.abs(table.loo_loss / loss - 1)) <= 0.001


def test_a_loss_that_is_not_convex_is_refused():
    random = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"not convex at row|not positive definite"):
        score_objective(random.normal(size=(30, 2)), random.normal(size=30), objective=DoubleWell(), weight_decay=1e-3)


@pytest.mark.parametrize(
    ("objective", "targets", "message"),
    [
        ("sigmoid", [[0, 1], [1, 2], [0, 0]], "row 1, label 1 is 2"),
        ("sigmoid", [[0, 1], [np.nan, 0], [0, 0]], "row 1 is missing"),
        (Sigmoid(["a"]), [[0, 1], [1, 1], [0, 0]], "1 label names"),
        ("gaussian", [1.0, np.inf, 2.0], "row 1 is missing or infinite"),
        ("gaussian", [1.0, 2.0], "3 feature rows but 2 targets"),
        ("gaussian", ["a", "b", "c"], "table of numbers"),
        (Gaussian([1.0, 2.0]), [1.0, 2.0, 3.0], "2 noise variances"),
        (Softmax(["cat", "dog"]), ["cat", "dog", "owl"], "row 2 is 'owl'"),
        ("hinge", [0, 1, 1], "is not one of: softmax, sigmoid, gaussian"),
    ],
)
def test_targets_that_cannot_be_scored_are_named(objective, targets, message):
    with pytest.raises(InputError, match=message):
        score_objective(np.eye(3), targets, objective=objective)


def test_settings_that_mean_nothing_are_refused():
    for settings in ({"weight_decay": 0.0}, {"prior_precision": -1.0}, {"hessian": "kron"}, {"loo_prior": "none"}):
        with pytest.raises(InputError, match=next(iter(settings))):
            score_objective(np.eye(3), [0.0, 1.0, 2.0], objective="gaussian", **settings)
    with pytest.raises(InputError, match="noise_variance"):
        Gaussian(0.0)


def test_progress_is_told_and_can_stop_the_work():
    stages = set()
    features, targets = _tags(50)
    score_objective(features, targets, objective="sigmoid", progress=lambda stage, done, total: stages.add(stage))
    assert stages == {"fit", "hessian", "curvature", "scores"}
