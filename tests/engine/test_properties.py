"""What must hold for any data: invariances of LSI, its sign, and determinism to the byte."""

from __future__ import annotations

import numpy as np
import pytest
from dense_reference import Problem, blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from lsi_engine import score

LIMITED = settings(max_examples=15, deadline=None)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    classes = draw(st.integers(2, 5))
    samples = draw(st.integers(4 * classes, 60))
    dimension = draw(st.integers(1, 12))
    return blobs(
        draw(st.integers(0, 10_000)), samples, dimension, classes, spread=draw(st.sampled_from([0.0, 1.0, 4.0]))
    )


def _scores(problem: Problem, **options) -> tuple:
    table = score(problem.features, problem.labels, tolerance=1e-12, **options)
    return table.lsi_mean_shift, table.lsi_covariance, table.probabilities


@given(problem=problems(), hessian=st.sampled_from(["diag", "full"]), seed=st.integers(0, 100))
@LIMITED
def test_the_order_of_samples_does_not_matter(problem, hessian, seed):
    order = np.random.default_rng(seed).permutation(len(problem.labels))
    before = _scores(problem, hessian=hessian)
    after = _scores(Problem(problem.features[order], problem.labels[order], problem.classes), hessian=hessian)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(b, a[order], rtol=1e-6, atol=1e-9)


@given(problem=problems(), hessian=st.sampled_from(["diag", "full"]), seed=st.integers(0, 100))
@LIMITED
def test_the_names_of_classes_do_not_matter(problem, hessian, seed):
    rename = np.random.default_rng(seed).permutation(problem.classes)
    shift, spread, probabilities = _scores(problem, hessian=hessian)
    renamed = _scores(Problem(problem.features, rename[problem.labels], problem.classes), hessian=hessian)
    np.testing.assert_allclose(renamed[0], shift, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(renamed[1], spread, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(renamed[2][:, rename], probabilities, atol=1e-7)


@given(problem=problems(), seed=st.integers(0, 100))
@LIMITED
def test_rotating_the_features_leaves_full_lsi_as_it_is(problem, seed):
    dimension = problem.features.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, dimension)))[0]
    before = _scores(problem, hessian="full")
    after = _scores(Problem(problem.features @ rotation, problem.labels, problem.classes), hessian="full")
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)


@given(problem=problems(), hessian=st.sampled_from(["diag", "full"]), copies=st.integers(2, 4))
@LIMITED
def test_duplicates_score_alike(problem, hessian, copies):
    features = np.vstack([problem.features] + [problem.features[:1]] * (copies - 1))
    labels = np.append(problem.labels, [problem.labels[0]] * (copies - 1))
    lsi = score(features, labels, hessian=hessian).lsi
    np.testing.assert_allclose(lsi[len(problem.labels) :], lsi[0], rtol=1e-9)


@given(
    problem=problems(),
    hessian=st.sampled_from(["diag", "full"]),
    wd=st.sampled_from([1e-4, 0.01, 10.0]),
    prior_precision=st.sampled_from(["weight_decay", 1e-3, 100.0]),
    precision=st.sampled_from(["float32", "float64"]),
)
@settings(max_examples=40, deadline=None)
def test_lsi_is_never_negative_and_probabilities_are_probabilities(problem, hessian, wd, prior_precision, precision):
    table = score(
        problem.features,
        problem.labels,
        hessian=hessian,
        weight_decay=wd,
        prior_precision=prior_precision,
        precision=precision,
    )
    assert (table.lsi_mean_shift >= 0).all()
    assert (table.lsi_covariance >= 0).all()
    np.testing.assert_allclose(table.probabilities.sum(axis=1), 1.0, rtol=1e-12)
    assert ((table.suspicion >= 0) & (table.suspicion <= 1)).all()
    np.testing.assert_allclose(table.suspicion + table.loo_probability, 1.0, atol=1e-12)
    assert (np.abs(table.margin) <= 1).all()
    # A positive margin means that the leave-one-out prediction is the given label.
    np.testing.assert_array_equal(table.margin > 0, table.to_frame()["suggested_label"].isna())


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_the_same_input_gives_the_same_bytes(hessian, precision):
    problem = blobs(1, 3000, 20, 4)
    first, second = (
        score(problem.features, problem.labels, hessian=hessian, precision=precision).to_frame() for _ in range(2)
    )
    assert first.to_numpy(dtype=object).tolist() == second.to_numpy(dtype=object).tolist() or first.equals(second)
    assert first["lsi"].to_numpy().tobytes() == second["lsi"].to_numpy().tobytes()
    assert first["suspicion"].to_numpy().tobytes() == second["suspicion"].to_numpy().tobytes()


def test_standardizing_is_the_same_as_scoring_standardized_features():
    problem = blobs(1, 80, 6, 3)
    features = problem.features * np.logspace(-2, 3, 6) + 5
    asked = score(features, problem.labels, feature_scaling="standardize")
    by_hand = score((features - features.mean(axis=0)) / features.std(axis=0), problem.labels)
    np.testing.assert_allclose(asked.lsi, by_hand.lsi, rtol=1e-8)
    assert not np.allclose(asked.lsi, score(features, problem.labels).lsi, rtol=0.1)
