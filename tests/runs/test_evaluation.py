"""Detection metrics against scikit-learn, and the bootstrap against a plain one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lsi_engine.errors import InputError
from lsi_engine.runs.evaluation import evaluate


def frame(lsi: np.ndarray, corrupted: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"lsi": lsi, "suspicion": -lsi, "corrupted": corrupted})


def value(table: pd.DataFrame, measure: str, metric: str, column: str = "value") -> float:
    return float(table.set_index(["measure", "metric"]).loc[(measure, metric), column])


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60).filter(
        lambda r: 0 < sum(b for _, b in r) < len(r)
    )
)
@settings(max_examples=60, deadline=None)
def test_auroc_and_average_precision_are_scikit_learns_ties_included(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([float(s) for s, _ in rows])
    truth = np.array([t for _, t in rows])
    table = evaluate(frame(scores, truth), resamples=2).table()
    for measure, ranked in (("lsi", scores), ("suspicion", -scores)):
        assert value(table, measure, "AUROC") == pytest.approx(roc_auc_score(truth, ranked))
        assert value(table, measure, "average precision") == pytest.approx(average_precision_score(truth, ranked))


def test_intervals_agree_with_a_plain_bootstrap() -> None:
    random = np.random.default_rng(3)
    truth = random.random(400) < 0.2
    scores = random.normal(size=400) + truth
    table = evaluate(frame(scores, truth), resamples=1000, seed=5).table()
    drawn = []
    for _ in range(1000):
        rows = random.integers(0, 400, 400)
        drawn.append(roc_auc_score(truth[rows], scores[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert value(table, "lsi", "AUROC", "low") == pytest.approx(low, abs=0.012)
    assert value(table, "lsi", "AUROC", "high") == pytest.approx(high, abs=0.012)


def test_precision_at_k_and_the_curve_count_what_a_reviewer_would_find() -> None:
    truth = np.array([True, True, False, True, False, False])
    result = evaluate(frame(np.array([6.0, 5, 4, 3, 2, 1]), truth), resamples=10, at=(1, 3))
    table = result.table()
    assert value(table, "lsi", "precision@1") == 1.0
    assert value(table, "lsi", "precision@3") == pytest.approx(2 / 3)
    curve = result.curve("lsi")
    assert curve["reviewed"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert curve["found"].tolist() == [0, 1, 2, 2, 3, 3, 3]
    np.testing.assert_allclose(curve["share"], curve["found"] / 3)


def test_the_band_around_the_curve_is_a_plain_bootstraps() -> None:
    random = np.random.default_rng(4)
    truth = random.random(300) < 0.3
    scores = random.normal(size=300).round(1) + truth  # with ties
    curve = evaluate(frame(scores, truth), resamples=1000, seed=1).curve("lsi").set_index("reviewed")
    assert (curve["low"] <= curve["high"]).all()
    np.testing.assert_allclose(curve.loc[[0, 300], ["low", "high"]], [[0, 0], [1, 1]], atol=1e-12)
    drawn = []
    for _ in range(1000):
        rows = random.integers(0, 300, 300)
        order = rows[np.argsort(-scores[rows], kind="stable")]  # ties as they came: at random
        drawn.append(truth[order][:100].sum() / truth[rows].sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert curve.loc[100, "low"] == pytest.approx(low, abs=0.02)
    assert curve.loc[100, "high"] == pytest.approx(high, abs=0.02)


def test_tied_scores_share_what_they_find() -> None:
    truth = np.array([True, False, False, False])
    result = evaluate(frame(np.ones(4), truth), resamples=5, at=(2,))
    assert value(result.table(), "lsi", "precision@2") == pytest.approx(0.25)
    assert value(result.table(), "lsi", "AUROC") == 0.5


def test_same_seed_same_intervals() -> None:
    random = np.random.default_rng(0)
    data = frame(random.normal(size=100), random.random(100) < 0.3)
    first, again = evaluate(data, seed=1), evaluate(data, seed=1)
    pd.testing.assert_frame_equal(first.table(), again.table())
    pd.testing.assert_frame_equal(first.curve("suspicion"), again.curve("suspicion"))


def test_what_cannot_be_evaluated_says_why() -> None:
    with pytest.raises(InputError, match="no known corruption"):
        evaluate(pd.DataFrame({"lsi": [1.0], "suspicion": [0.0]}))
    with pytest.raises(InputError, match="0 of 3"):
        evaluate(frame(np.arange(3.0), np.zeros(3, bool)))
