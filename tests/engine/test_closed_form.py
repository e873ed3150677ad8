"""The closed form against dense definitions: every algebraic term, then the approximation itself."""

from __future__ import annotations

import numpy as np
import pytest
from dense_reference import blobs, curvature, exact_refits, one_newton_step, optimum
from scipy.stats import spearmanr

from lsi_engine import score
from lsi_engine.curvature import posterior as posterior_parts
from lsi_engine.scores.lsi import closed_form

#: (samples, dimension, classes); the last two have more weights than samples.
SHAPES = [(60, 4, 2), (90, 6, 3), (110, 5, 10), (30, 12, 3), (40, 20, 4)]


def test_large_data_keep_the_diagonals_curvature_and_hardly_lose_by_it(monkeypatch):
    problem = blobs(5, 3000, 6, 3)
    followed = score(problem.features, problem.labels)
    monkeypatch.setattr(closed_form, "FOLLOW_WORK", 0.0)  # what makes these data small enough to follow
    kept = score(problem.features, problem.labels)
    assert spearmanr(kept.lsi, followed.lsi).statistic >= 0.9999
    assert np.median(np.abs(kept.lsi / followed.lsi - 1)) <= 0.005
    assert not np.array_equal(kept.lsi, followed.lsi)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize("prior_precision", ["weight_decay", 1.0, 7.5])
@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
def test_equals_one_dense_newton_step(shape, hessian, prior_precision, loo_prior):
    problem, wd = blobs(sum(shape), *shape), 0.02
    samples = shape[0]
    theta = optimum(problem.design, problem.labels, problem.classes, samples * wd)
    delta = samples * wd if prior_precision == "weight_decay" else prior_precision
    expected = one_newton_step(problem, theta, wd, hessian, delta, loo_prior)
    table = score(
        problem.features,
        problem.labels,
        weight_decay=wd,
        hessian=hessian,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
        tolerance=1e-12,
    )
    assert table.info["precision"] == "float64"
    np.testing.assert_allclose(table.lsi_mean_shift, expected.mean_shift, rtol=1e-8, atol=1e-12)
    # The dense covariance part subtracts log-determinants: its own rounding is about 1e-12.
    np.testing.assert_allclose(table.lsi_covariance, expected.covariance, rtol=1e-8, atol=3e-12)
    np.testing.assert_allclose(table.probabilities, expected.probabilities, atol=1e-9)
    np.testing.assert_allclose(table.leverage, expected.leverage, rtol=1e-8)


@pytest.mark.parametrize(("prior_precision", "error"), [("weight_decay", 3e-4), (1.0, 1e-8)])
def test_one_factorisation_serves_when_the_two_priors_nearly_agree(prior_precision, error):
    """From N = 1002 on, δ = N·wd and γ = (N − 1)·wd count as one; that costs at most about 1/(N − 1) of an LSI."""
    problem, wd = blobs(5, 1200, 3, 3), 0.01
    theta = optimum(problem.design, problem.labels, 3, 1200 * wd)
    delta = 1200 * wd if prior_precision == "weight_decay" else prior_precision
    expected = one_newton_step(problem, theta, wd, "full", delta)
    table = score(
        problem.features,
        problem.labels,
        weight_decay=wd,
        hessian="full",
        prior_precision=prior_precision,
        tolerance=1e-12,
    )
    np.testing.assert_allclose(table.lsi_mean_shift, expected.mean_shift, rtol=error, atol=1e-12)
    np.testing.assert_allclose(table.lsi_covariance, expected.covariance, rtol=error, atol=3e-12)
    np.testing.assert_allclose(table.probabilities, expected.probabilities, atol=1e-9)


#: samples, dimension, classes, weight decay, prior precision, then the stated errors of the closed form: median and
#: largest relative error of LSI, largest error of a leave-one-out probability. They are what O(K/N) comes to here.
REFITS = [
    (400, 3, 2, 0.03, "weight_decay", 0.01, 0.1, 2e-4),
    (400, 3, 2, 0.03, 1.0, 0.01, 0.12, 2e-4),
    (300, 4, 3, 0.03, "weight_decay", 0.02, 0.12, 1e-3),
    (300, 4, 3, 0.03, 1.0, 0.03, 0.15, 1e-3),
    (400, 2, 10, 0.02, "weight_decay", 0.03, 0.1, 1e-3),
    (60, 80, 2, 0.3, "weight_decay", 0.03, 0.2, 0.01),
    (100, 40, 3, 0.3, "weight_decay", 0.03, 0.2, 0.01),
]


def _refit_case(case: tuple, hessian: str, loo_prior: str) -> tuple:
    samples, dimension, classes, wd, prior_precision = case[:5]
    problem = blobs(0, samples, dimension, classes)
    theta = optimum(problem.design, problem.labels, classes, samples * wd)
    delta = samples * wd if prior_precision == "weight_decay" else prior_precision
    truth = exact_refits(problem, theta, wd, hessian, delta, loo_prior)
    table = score(
        problem.features,
        problem.labels,
        weight_decay=wd,
        hessian=hessian,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
    )
    return table, truth


@pytest.mark.parametrize("case", REFITS, ids=lambda case: "-".join(map(str, case[:5])))
@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_agrees_with_exact_refits(case, hessian):
    """Each left-out optimum really found, its posterior taken at the left-out weights. K > N in the last two."""
    table, truth = _refit_case(case, hessian, "rescaled")
    median, largest, probability = case[5:]
    error = np.abs(table.lsi / truth.lsi - 1)
    assert spearmanr(table.lsi, truth.lsi).statistic >= 0.999
    assert np.median(error) <= median
    assert error.max() <= largest
    assert np.abs(table.probabilities - truth.probabilities).max() <= probability


@pytest.mark.parametrize("shape", [(60, 80, 2), (100, 40, 3)], ids=str)
@pytest.mark.parametrize("prior_precision", ["weight_decay", 1.0])
def test_the_diagonal_follows_the_other_samples_curvature(shape, prior_precision):
    """Frozen curvature would be off by 2 to 30 % here; followed to first order it is within half a per cent."""
    table, truth = _refit_case((*shape, 0.3, prior_precision), "diag", "rescaled")
    assert spearmanr(table.lsi, truth.lsi).statistic >= 0.9999
    assert np.median(np.abs(table.lsi / truth.lsi - 1)) <= 0.005
    assert np.median(np.abs(table.lsi_covariance / truth.covariance - 1)) <= 0.01


@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_agrees_with_exact_refits_under_a_fixed_prior(hessian):
    table, truth = _refit_case(REFITS[2], hessian, "fixed")
    assert spearmanr(table.lsi, truth.lsi).statistic >= 0.999
    assert np.median(np.abs(table.lsi / truth.lsi - 1)) <= 0.02


def test_the_error_falls_as_one_over_the_samples():
    """What is left out is O(K/N): four times the samples, about a quarter of the error."""
    errors = []
    for samples in (150, 600):
        table, truth = _refit_case((samples, 3, 2, 0.03, "weight_decay"), "full", "rescaled")
        errors.append(np.abs(table.probabilities - truth.probabilities).max())
    assert errors[1] < errors[0] / 3


def test_leverages_sum_to_the_effective_number_of_parameters():
    problem, wd = blobs(3, 80, 6, 4), 0.02
    theta = optimum(problem.design, problem.labels, 4, 80 * wd)
    data = curvature(theta, problem.design)
    # γ = (N − 1)·wd is what a left-out sample's Hessian carries.
    effective = np.trace(np.linalg.solve(data + 79 * wd * np.eye(len(data)), data))
    table = score(problem.features, problem.labels, weight_decay=wd, tolerance=1e-12)
    assert table.leverage.sum() == pytest.approx(effective, rel=1e-9)
    assert ((table.leverage > 0) & (table.leverage < 3)).all()


def test_float32_products_stay_within_a_ten_thousandth():
    problem = blobs(11, 300, 20, 5)
    for hessian in ("diag", "full"):
        exact = score(problem.features, problem.labels, hessian=hessian, precision="float64")
        fast = score(problem.features, problem.labels, hessian=hessian, precision="float32")
        assert fast.info["precision"] == "float32"
        np.testing.assert_allclose(fast.lsi, exact.lsi, rtol=1e-4)
        np.testing.assert_allclose(fast.probabilities, exact.probabilities, atol=1e-5)


def test_two_copies_hide_each_other_and_score_alike():
    """The fault of any leave-one-out score that group scores exist for, reproduced on purpose."""
    problem = blobs(7, 80, 4, 2, flips=0.0)
    features, labels = problem.features.copy(), problem.labels.copy()
    labels[20] = 1 - labels[20]
    alone = score(features, labels).lsi[20]
    doubled = score(np.vstack([features, features[20]]), np.append(labels, labels[20])).lsi
    assert doubled[20] == pytest.approx(doubled[-1], rel=1e-9)
    assert doubled[20] < alone


def test_a_small_excess_of_the_prior_needs_no_second_inverse(monkeypatch):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    features = random.normal(size=(400, 6)) + 0.5 * labels[:, None]
    # δ = N · wd and γ = (N − 1) · wd are 1/399 apart.
    quick = score(features, labels, hessian="full", weight_decay=0.1)
    monkeypatch.setattr(posterior_parts, "SMALL_EXCESS", 0.0)
    exact = score(features, labels, hessian="full", weight_decay=0.1)
    assert not np.array_equal(quick.lsi_covariance, exact.lsi_covariance)
    np.testing.assert_allclose(quick.lsi_covariance, exact.lsi_covariance, rtol=2e-5)
    np.testing.assert_array_equal(quick.lsi_mean_shift, exact.lsi_mean_shift)


@pytest.mark.parametrize("hessian", ["diag", "kron", "full"])
def test_only_the_rows_asked_for_are_left_out(hessian):
    problem, seen = blobs(3, 60, 4, 3), []
    whole = score(problem.features, problem.labels, hessian=hessian)
    some = score(
        problem.features,
        problem.labels,
        hessian=hessian,
        samples=[31, 4],
        progress=lambda *report: seen.append(report),
    )
    assert [report for report in seen if report[0] == "scores"] == [("scores", 2, 2)]
    for column in ("lsi_mean_shift", "lsi_covariance", "probabilities", "leverage"):
        np.testing.assert_allclose(getattr(some, column), getattr(whole, column)[[31, 4]], rtol=1e-9)
