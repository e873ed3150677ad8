"""``weight_decay="auto"`` against true leave-one-out refits by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import lsi_engine
from lsi_engine.errors import InputError
from lsi_engine.scores.skill import probe_skill
from lsi_engine.scores.weight_decay import GRID, stratified
from lsi_engine.settings import ScoreSettings


def weak(samples: int, noise: int, seed: int) -> tuple[NDArray, NDArray]:
    """Two classes that one feature tells apart a little, among ``noise`` that say nothing."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, samples)
    x = random.normal(size=(samples, noise + 1))
    x[:, 0] += 1.2 * y
    return x, y


def refitted_log_loss(x: NDArray, y: NDArray, decay: float) -> float:
    """Mean −log p(given label) of probes that were really trained without the sample.

    scikit-learn leaves the intercept out of the penalty: a column of ones takes its place. Of two classes it penalises
    the difference of their weights, half of which each class has here: the same optimum at twice the C.
    """
    columns, losses = np.column_stack([x, np.ones(len(x))]), []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        model = LogisticRegression(C=2 / (decay * rest.sum()), fit_intercept=False, tol=1e-10, max_iter=5000)
        model.fit(columns[rest], y[rest])
        losses.append(-np.log(model.predict_proba(columns[[i]])[0, y[i]]))
    return float(np.mean(losses))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_curve_and_the_choice_are_those_of_true_refits(seed: int) -> None:
    x, y = weak(60, 4, seed)
    info = lsi_engine.score(x, y, weight_decay="auto").info
    true = [refitted_log_loss(x, y, decay) for decay in GRID]
    decays, losses = zip(*info["weight_decay_curve"], strict=True)
    assert decays == GRID
    # One Newton step from the optimum: the more the penalty holds, the nearer it gets to the refit.
    np.testing.assert_allclose(losses, true, rtol=0.02)
    np.testing.assert_allclose(losses[2:], true[2:], rtol=0.004)
    assert info["weight_decay"] == GRID[int(np.argmin(true))]
    assert info["weight_decay_samples"] == 60


def test_weak_features_get_a_larger_one_and_a_probe_that_knows_more() -> None:
    x, y = weak(300, 80, 3)
    paper, tuned = (lsi_engine.score(x, y, weight_decay=decay) for decay in (0.01, "auto"))
    assert tuned.info["weight_decay"] > 0.1
    before, after = (probe_skill(table.probabilities, table.codes) for table in (paper, tuned))
    assert after.log_loss < before.log_loss - 0.05
    assert after.accuracy > before.accuracy
    assert dict(map(tuple, tuned.info["weight_decay_curve"]))[0.01] == pytest.approx(before.log_loss, rel=1e-6)


def test_everything_else_is_what_the_number_gives() -> None:
    x, y = weak(80, 10, 4)
    tuned = lsi_engine.score(x, y, weight_decay="auto", hessian="full")
    plain = lsi_engine.score(x, y, weight_decay=tuned.info["weight_decay"], hessian="full")
    assert tuned.info["prior_precision"] == plain.info["prior_precision"]
    np.testing.assert_allclose(tuned.lsi, plain.lsi, rtol=1e-6)
    assert "weight_decay_curve" not in plain.info


def test_of_many_samples_a_part_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsi_engine.scores.weight_decay.MOST_ROWS", 100)
    x, y = weak(400, 10, 5)
    table = lsi_engine.score(x, y, weight_decay="auto")
    assert len(table) == 400
    assert table.info["weight_decay_samples"] == 100
    rare = np.repeat([0, 1, 2], [9000, 998, 2])
    rows = stratified(rare, 100)
    np.testing.assert_array_equal(np.bincount(rare[rows]), [90, 10, 2])
    np.testing.assert_array_equal(rows, stratified(rare, 100))


@pytest.mark.parametrize("method", ["retrain", "trajectory"])
def test_only_the_closed_form_can_choose(method: str) -> None:
    with pytest.raises(InputError, match=f"chosen by the closed form; method '{method}' needs a number"):
        ScoreSettings(method=method, weight_decay="auto").check()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="or 'auto'"):
        lsi_engine.score(*weak(20, 1, 0), weight_decay="more")  # type: ignore[arg-type]
