"""Subsets of a stored run: settings and groups of the run, the kept result, the command, and what is drawn of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dashboard.charts.subsets import numbers, pruning_curves, reading, third_accuracies
from lsi_engine.cli import main
from lsi_engine.errors import InputError
from lsi_engine.runs.artefacts.subsets import Subsets, compare_subsets, expected_seconds, stored_subsets, subsets_folder
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Two blobs that overlap, samples of which half come in pairs, a tenth under the wrong label."""
    folder = tmp_path_factory.mktemp("subsets")
    random = np.random.default_rng(0)
    truth = np.repeat(["a", "b"], 120)
    features = random.normal(size=(240, 5)) + 1.5 * (truth == "b")[:, None]
    labels = np.where(random.uniform(size=240) < 0.1, np.where(truth == "a", "b", "a"), truth)
    groups = [f"g{row // 2}" if row % 4 < 2 else "" for row in range(240)]
    np.savez(folder / "f.npz", features=features, labels=labels, true_labels=truth, groups=groups)
    store = RunStore(folder / "cache")
    source = {"kind": "feature_file", "path": str(folder / "f.npz")}
    compute(RunConfig(name="blobs", source=source), store)
    hidden = {"probe": 3, "method": "retrain", "epochs": 2, "left_out": 2, "hessian": "diag"}
    compute(RunConfig(name="hidden", source=source, **hidden), store)
    return store


@pytest.fixture(scope="module")
def found(store: RunStore) -> Subsets:
    return compare_subsets(store.open("blobs"), store.cache, repeats=2)


def test_the_result_is_kept_whole_and_only_for_the_scores_it_belongs_to(store: RunStore, found: Subsets) -> None:
    run = store.open("blobs")
    kept = stored_subsets(run)
    assert kept is not None
    assert kept.facts == json.loads(json.dumps(found.facts))
    assert kept.table.equals(found.table)
    assert (kept.facts["truth"], kept.facts["grouped"], kept.facts["rows"]) == ("true_label", True, 240)
    assert expected_seconds(run) > 0
    table = subsets_folder(run) / "trainings.parquet"
    whole = table.read_bytes()
    try:
        table.write_bytes(whole + b" ")
        assert stored_subsets(run) is None, "a table that the facts do not name"
    finally:
        table.write_bytes(whole)


def test_the_summary_is_paired_and_its_intervals_hold_the_means(found: Subsets) -> None:
    summary = found.summary().set_index(["family", "rule", "share"])
    tests = found.table.set_index(["family", "rule", "share", "repeat"])["test_accuracy"].sort_index()
    half, random, whole = ("kept", "highest_lsi", 0.5), ("kept", "random", 0.5), ("all", "all", 1.0)
    row = summary.loc[half]
    assert row["against_random"] == pytest.approx((tests[half] - tests[random]).mean())
    assert row["against_all"] == pytest.approx((tests[half] - tests[whole]).mean())
    assert row["against_random_low"] < row["against_random"] < row["against_random_high"]
    assert row["test_accuracy_low"] <= row["test_accuracy"] <= row["test_accuracy_high"]
    assert np.isnan(summary.loc[whole, "against_all"])
    assert np.isnan(summary.loc[random, "against_random"])


def test_figures_draw_the_summary_and_the_sentences_read_it(found: Subsets) -> None:
    summary = found.summary()
    chart = third_accuracies(summary, noun="films")
    test = next(trace for trace in chart.figure.data if "held-out" in trace.name)
    rows = summary.set_index("rule")["test_accuracy"]
    assert list(test.y) == pytest.approx([rows[name] for name in ("low", "mid", "high", "all")])
    assert f"{rows['mid']:.1%} held out" in chart.alt
    curves = pruning_curves(summary, noun="films")
    named = {trace.name: trace for trace in curves.figure.data if trace.name}
    assert len(named) == 6
    assert list(named["random ones"].x) == [1.0, 0.9, 0.75, 0.5, 0.25, 0.1]
    assert len(curves.table) == 31
    assert len(numbers(summary)) == 35
    said = " ".join(reading(summary, "films"))
    best = rows[["low", "mid", "high"]].max()
    assert f"{best:.1%} of held-out films" in said
    assert "a random half" in said


def test_the_command_prints_json_without_nan_and_says_what_cannot_be_done(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LSI_CACHE", str(store.cache))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lsi", "subsets", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    code, out, _ = call("blobs", "--repeats", "1", "--rows", "100", "--held-out", "0.25", "--json")
    assert code == 0
    read = json.loads(out)
    assert read["facts"]["rows"] in (100, 101)
    assert read["subsets"][0]["against_random"] is None
    code, out, err = call("blobs", "--repeats", "2", "--seed", "1")
    assert code == 0
    assert "highest LSI dropped" in out
    assert "tested against the true labels; groups kept whole" in err
    code, _, err = call("hidden")
    assert code == 1
    assert "hidden layer of 3" in err
    assert stored_subsets(store.open("hidden")) is None


def test_features_that_are_gone_are_said(store: RunStore, tmp_path: Path) -> None:
    source = tmp_path / "f.npz"
    random = np.random.default_rng(0)
    np.savez(source, features=random.normal(size=(40, 2)), labels=np.repeat(["a", "b"], 20))
    compute(RunConfig(name="gone", source={"kind": "feature_file", "path": str(source)}), store)
    source.unlink()
    with pytest.raises(InputError):
        compare_subsets(store.open("gone"), store.cache)
