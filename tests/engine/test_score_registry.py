"""Scores are said once: what the registry holds is what every part of the product offers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from cleanlab.rank import get_confidence_weighted_entropy_for_each_label

from dashboard.components.ranking import rankings
from dashboard.view.view import View
from lsi_engine import InputError, score
from lsi_engine.runs.comparison import compare
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.evaluation import evaluate
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore
from lsi_engine.scores import registry
from lsi_engine.scores.column import Column, Score
from lsi_engine.scores.table import SCORE_COLUMNS, ScoreTable


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(2)
    labels = np.arange(90) % 3
    x = random.normal(size=(3, 5))[labels] + random.normal(size=(90, 5))
    np.savez(tmp_path / "x.npz", features=x, labels=labels)
    return x, labels, {"kind": "feature_file", "path": str(tmp_path / "x.npz")}


@pytest.fixture
def dummy(monkeypatch: pytest.MonkeyPatch) -> Score:
    """One more score, made known by the registry alone."""
    column = Column("twice", "Twice", "twice", "suspicious", "most doubled", "Twice the suspicion.", top=2.0)

    def twice(table: ScoreTable) -> dict[str, np.ndarray]:
        return {"twice": 2 * table.suspicion}

    made = Score("doubled", "twice the suspicion", (column,), "features and labels", "none", twice, ("twice",))
    monkeypatch.setitem(registry.SCORES, "doubled", made)
    return made


def test_a_score_is_one_entry_of_the_registry(data, dummy: Score, tmp_path) -> None:
    x, labels, source = data
    frame = score(x, labels).to_frame(["doubled"])
    np.testing.assert_array_equal(frame["twice"], 2 * frame["suspicion"])
    assert "twice" not in score(x, labels).to_frame()

    flips = [{"kind": "flip_labels", "rate": 0.1, "seed": 0}]
    config = RunConfig(name="run", source=source, scores=["doubled"], corruption=flips)
    config.check()
    run, _ = compute(config, RunStore(tmp_path))
    scores = run.scores()
    assert "twice" in scores
    assert "Twice" in rankings(scores)
    assert evaluate(scores, resamples=20).measures == ["lsi", "suspicion", "twice"]
    other, _ = compute(config.model_copy(update={"name": "other", "weight_decay": 0.1}), RunStore(tmp_path))
    table = compare({"run": scores, "other": other.scores()}).correlations()
    assert ("run", "twice") in table.index
    assert "twice" in [column.name for column in registry.filtering(scores)]
    view = View(scores=(("twice", (1.0, 2.0)),))
    assert view.mask(scores.assign(decision="undecided")).sum() == (scores["twice"] >= 1.0).sum()
    assert [chip.text for chip in view.chips()] == ["Twice ≥ 1"]


def test_the_command_line_and_the_form_offer_what_the_registry_holds() -> None:
    code = """if True:
        from lsi_engine.scores import registry
        from lsi_engine.scores.column import Column, Score
        column = Column("twice", "Twice", "twice", "suspicious", "most doubled", "Twice the suspicion.")
        made = Score("doubled", "twice the suspicion", (column,), "features and labels", "none", lambda table: {})
        registry.SCORES["doubled"] = made
        from dashboard.components.run_form.settings import _scores_help
        assert "`doubled`: twice the suspicion." in _scores_help()
        from lsi_engine.cli import app
        app(["compute", "digits", "--help"])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "doubled" in done.stdout


def test_the_default_columns_are_the_first_entries() -> None:
    numbers = [name for name in SCORE_COLUMNS if not name.endswith("_label")]
    default = [
        column.name
        for score in registry.SCORES.values()
        if not score.optional and score.name != "groups"
        for column in score.columns
    ]
    assert sorted(numbers) == sorted(default)


def test_an_unknown_score_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InputError, match="there is no score 'luck'"):
        RunConfig(name="x", source={"kind": "digits"}, scores=["luck"]).check()


def test_a_column_that_no_score_names_is_a_number_without_a_meaning() -> None:
    assert registry.column("blood_pressure").title == "Blood pressure"
    assert registry.column("blood_pressure").high == "neutral"


def test_optional_scores_are_what_they_say(data) -> None:
    x, labels, _ = data
    table = score(x, labels)
    frame = table.to_frame(["all"])
    p = table.probabilities
    np.testing.assert_allclose(frame["loo_loss"], -np.log(p[np.arange(90), labels]), rtol=1e-12)
    np.testing.assert_allclose(frame["entropy"], -(p * np.log(p)).sum(axis=1) / np.log(3), rtol=1e-12)
    expected = get_confidence_weighted_entropy_for_each_label(labels, p)
    np.testing.assert_allclose(frame["weighted_entropy"], expected, rtol=1e-9)


def test_safe_scores_are_evaluated_from_the_lowest_up() -> None:
    truth = np.arange(40) < 10
    frame = pd.DataFrame({"lsi": np.ones(40), "suspicion": truth.astype(float), "corrupted": truth})
    frame["weighted_entropy"] = 1 - truth.astype(float)
    found = evaluate(frame, resamples=20).table()
    auroc = found[found["metric"] == "AUROC"].set_index("measure")["value"]
    assert auroc["suspicion"] == auroc["weighted_entropy"] == 1.0
    assert auroc["lsi"] == 0.5


def test_runs_without_any_order_compare_in_a_sentence() -> None:
    flat = pd.DataFrame({"sample_id": list("abc"), "label": "x", "lsi": 1.0, "suspicion": 0.5, "margin": 0.0})
    table = compare({"one": flat, "two": flat.copy()}).correlations()
    assert table.shape == (0, 0)
    from dashboard.charts.comparison import correlation_matrix

    assert "Fewer than two rankings" in correlation_matrix(table).alt
    single = flat.assign(suspicion=[0.1, 0.2, 0.3])
    assert "Fewer than two rankings" in correlation_matrix(compare({"one": single, "two": flat}).correlations()).alt


def test_intervals_of_large_classes_are_as_wide_as_their_size_makes_them() -> None:
    """Of a log-normal sample the ratio of medians of two independent halves has a known spread."""
    random = np.random.default_rng(0)
    n = 45_000
    first, second = np.exp(random.normal(size=n)), np.exp(random.normal(size=n))
    frames = {
        name: pd.DataFrame({"sample_id": np.arange(n).astype(str), "label": "x", "lsi": values})
        for name, values in (("first", first), ("second", second))
    }
    row = compare(frames).class_shift("first", "second").iloc[0]
    width = np.log(row["high"]) - np.log(row["low"])
    # The median of n normal draws has variance π / 2n; two of them, and 2 · 1.96 standard deviations.
    assert width == pytest.approx(2 * 1.96 * np.sqrt(2 * np.pi / (2 * n)), rel=0.15)
