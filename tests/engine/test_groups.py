"""Groups: one sample is a group of one, a group is what a refit says, and it unmasks what hides in it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lsi_engine import InputError, near_duplicate_groups, score, score_groups
from lsi_engine.progress import silent
from lsi_engine.scores.lsi import closed_form
from lsi_engine.scores.lsi.group_posteriors import LargeGroup, Posteriors, SmallGroup
from lsi_engine.scores.problem import Problem
from lsi_engine.training.newton import fit_linear_probe


def blobs(samples: int, dimension: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples)
    centres = 1.5 * random.normal(size=(classes, dimension))
    return centres[labels] + random.normal(size=(samples, dimension)), labels


def dense_refit(features: np.ndarray, labels: np.ndarray, classes: int, ridge: float) -> np.ndarray:
    """The optimum of Σ cross-entropy + ridge/2 ‖Θ‖², ``(C, D + 1)``, by plain Newton steps on the dense Hessian."""
    x = np.hstack([features, np.ones((len(features), 1))])
    theta = np.zeros((classes, x.shape[1]))
    for _ in range(60):
        logits = x @ theta.T
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        gradient = (p - np.eye(classes)[labels]).T @ x + ridge * theta
        hessian = dense_ggn(x, p) + ridge * np.eye(theta.size)
        step = np.linalg.solve(hessian, gradient.ravel())
        theta -= step.reshape(theta.shape)
        if np.abs(step).max() < 1e-13:
            break
    return theta


def dense_ggn(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    f = p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :]
    return np.einsum("nab,nd,ne->adbe", f, x, x).reshape(p.shape[1] * x.shape[1], -1)


def dense_posterior(features: np.ndarray, theta: np.ndarray, delta: float, diagonal: bool) -> np.ndarray:
    x = np.hstack([features, np.ones((len(features), 1))])
    logits = x @ theta.T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    precision = dense_ggn(x, p) + delta * np.eye(theta.size)
    return np.diag(np.diag(precision)) if diagonal else precision


def dense_kl(mean: np.ndarray, precision: np.ndarray, other: np.ndarray, other_precision: np.ndarray) -> float:
    shift = (other - mean).ravel()
    trace = np.trace(other_precision @ np.linalg.inv(precision)) - len(precision)
    log_dets = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(other_precision)[1]
    return float(trace + shift @ other_precision @ shift + log_dets) / 2


@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize("prior", ["weight_decay", 1.0])
@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
def test_a_group_of_one_is_a_sample_left_out(
    hessian: str, prior: object, loo_prior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_form, "FOLLOW", math.inf)
    features, labels = blobs(60, 4, 3)
    options = {"hessian": hessian, "prior_precision": prior, "loo_prior": loo_prior}
    single = score(features, labels, **options)
    # The last two samples form a group, so that the looped code runs beside the streamed one.
    group = np.r_[np.arange(59), 58]
    table = score_groups(features, labels, group, **options)
    np.testing.assert_allclose(table.lsi_mean_shift[:58], single.lsi_mean_shift[:58], rtol=1e-9)
    np.testing.assert_allclose(table.probabilities[:58], single.probabilities[:58], rtol=1e-9)
    problem = Problem.from_data(features, labels, weight_decay=0.01, prior_precision=prior, feature_scaling="none")
    probe = fit_linear_probe(problem.objective)
    shared = Posteriors(problem.objective, probe, hessian, problem.prior_precision, loo_prior, silent)
    for kind in (SmallGroup, LargeGroup):
        alone = kind(shared, np.array([7]))
        mean_shift, covariance = alone.parts(alone.shift())
        # A diagonal posterior is followed to first order for samples, and evaluated at θ₋g for groups.
        close = 0.01 if hessian == "diag" else 1e-7
        assert float(mean_shift) == pytest.approx(single.lsi_mean_shift[7], rel=close)
        assert float(covariance) == pytest.approx(single.lsi_covariance[7], rel=5 * close)


@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
@pytest.mark.parametrize(("samples", "dimension", "classes", "size"), [(600, 4, 3, 2), (600, 3, 2, 5), (900, 3, 3, 9)])
def test_groups_agree_with_refits(
    hessian: str, loo_prior: str, samples: int, dimension: int, classes: int, size: int
) -> None:
    features, labels = blobs(samples, dimension, classes)
    group = np.arange(samples) // size
    table = score_groups(features, labels, group, hessian=hessian, loo_prior=loo_prior)
    delta = samples * 0.01
    whole = dense_refit(features, labels, classes, delta)
    precision = dense_posterior(features, whole, delta, hessian == "diag")
    truth = []
    for k in range(0, group.max() + 1, 4):
        kept = group != k
        ridge = kept.sum() * 0.01 if loo_prior == "rescaled" else delta
        left = dense_refit(features[kept], labels[kept], classes, ridge)
        other = dense_posterior(features[kept], left, delta, hessian == "diag")
        truth.append(dense_kl(whole, precision, left, other))
    ours = (table.lsi_mean_shift + table.lsi_covariance)[::4]
    # Of the covariance part of an uninformative group, most is the other samples' curvature moving with θ.
    assert np.median(np.abs(ours - truth) / truth) < 0.1
    assert np.corrcoef(np.argsort(np.argsort(ours)), np.argsort(np.argsort(truth)))[0, 1] > 0.995


@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
@pytest.mark.parametrize("size", [2, 7, 60])
def test_refined_groups_are_refits_to_the_last_digits(loo_prior: str, size: int) -> None:
    features, labels = blobs(240, 4, 3)
    group = np.arange(240) // size
    table = score_groups(features, labels, group, loo_prior=loo_prior, prior_precision=1.0, refine=True)
    ridge = 240 * 0.01
    whole = dense_refit(features, labels, 3, ridge)
    precision = dense_posterior(features, whole, 1.0, diagonal=True)
    for k in range(min(4, group.max() + 1)):
        kept = group != k
        left = dense_refit(features[kept], labels[kept], 3, kept.sum() * 0.01 if loo_prior == "rescaled" else ridge)
        truth = dense_kl(whole, precision, left, dense_posterior(features[kept], left, 1.0, diagonal=True))
        assert table.lsi_mean_shift[k] + table.lsi_covariance[k] == pytest.approx(truth, rel=1e-5, abs=1e-11)


def test_the_two_ways_of_leaving_a_group_out_agree() -> None:
    features, labels = blobs(200, 5, 4)
    for prior in ("weight_decay", 3.0):
        problem = Problem.from_data(
            features, labels, weight_decay=0.02, prior_precision=prior, feature_scaling="standardize"
        )
        probe = fit_linear_probe(problem.objective)
        shared = Posteriors(problem.objective, probe, "full", problem.prior_precision, "rescaled", silent)
        rows = np.arange(3, 40, 2)
        small, large = SmallGroup(shared, rows), LargeGroup(shared, rows)
        torch.testing.assert_close(small.shift(), large.shift(), rtol=1e-8, atol=1e-12)
        for a, b in zip(*(way.parts(way.shift()) for way in (small, large)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


def test_half_of_the_data_can_be_one_group() -> None:
    features, labels = blobs(300, 4, 3)
    table = score_groups(features, labels, np.where(np.arange(300) < 150, "left", "right"))
    frame = table.to_frame()
    assert frame["group"].tolist() == ["left", "right"]
    assert frame["samples"].tolist() == [150, 150]
    assert np.isfinite(frame["lsi"]).all()


def test_two_identical_mislabelled_samples_hide_each_other_but_not_from_their_group() -> None:
    features, labels = blobs(400, 30, 3, seed=4)
    wrong = 11
    features = np.vstack([features, features[wrong]])
    labels = np.r_[labels, 0]
    labels[wrong] = labels[-1] = (labels[wrong] + 1) % 3
    alone = score(features, labels, feature_scaling="standardize").to_frame()
    group = near_duplicate_groups(features)
    assert group[wrong] == group[-1]
    assert len(np.unique(group)) == len(features) - 1
    together = score_groups(features, labels, group, feature_scaling="standardize").sample_frame()
    doubt = alone["loo_probability"].iloc[wrong], together["group_probability"].iloc[wrong]
    assert doubt[1] < doubt[0] / 2, doubt


def test_near_duplicates_are_found_whatever_the_scale_and_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from lsi_engine.features import near_duplicates as duplicates

    monkeypatch.setattr(duplicates, "BLOCK", 7)
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 16)) * 10.0 ** random.integers(-3, 4, 16)
    features[41] = features[3]
    features[59] = features[3] * (1 + 1e-3)
    features[20] = features[19]
    group = near_duplicate_groups(features)
    assert group[3] == group[41] == group[59]
    assert group[19] == group[20]
    assert len(np.unique(group)) == 57
    assert group[0] == 0
    assert (np.diff([np.flatnonzero(group == g)[0] for g in range(57)]) > 0).all()


@pytest.mark.parametrize(
    ("groups", "message"),
    [([1, 2], "20 samples but 2 groups"), ([None] + [1] * 19, "row 0"), ([1] * 20, "one group")],
)
def test_groups_that_cannot_be_left_out_say_why(groups: list[object], message: str) -> None:
    features, labels = blobs(20, 2, 2)
    with pytest.raises(InputError, match=message):
        score_groups(features, labels, groups)
