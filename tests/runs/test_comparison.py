"""Runs side by side: joined by sample id, ranked against each other, and datasets on one axis."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from lsi_engine.cli import main
from lsi_engine.errors import InputError
from lsi_engine.runs.comparison import compare, corrupted_rows, difficulty, pairwise_agreement
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


def frame(ids: list[str], seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "sample_id": ids,
            "label": random.choice(["a", "b"], len(ids)),
            "lsi": random.lognormal(size=len(ids)),
            "suspicion": random.uniform(size=len(ids)),
            "leverage": np.nan,
        }
    )


@settings(deadline=None, max_examples=30)
@given(st.permutations([f"s{i}" for i in range(12)]), st.integers(0, 10))
def test_runs_are_joined_by_id_whatever_their_order(order: list[str], cut: int) -> None:
    first, second = frame([f"s{i}" for i in range(12)], 0), frame(order[cut:], 1)
    joined = compare({"one": first, "two": second})
    assert joined.frames["one"]["sample_id"].tolist() == joined.frames["two"]["sample_id"].tolist()
    assert joined.missing == {"one": cut, "two": 0}
    shifts = joined.shifts("one", "two").set_index("sample_id")
    for which, source in (("first", first), ("second", second)):
        values = source.set_index("sample_id").loc[shifts.index, "lsi"]
        np.testing.assert_array_equal(shifts[which], values)
    assert (shifts["shift"].abs().diff().dropna() <= 1e-9).all()
    assert shifts["shift"].sum() == pytest.approx(0, abs=1e-9)


def test_correlations_are_spearmans_and_leave_empty_measures_out() -> None:
    ids = [f"s{i}" for i in range(40)]
    first, second = frame(ids, 0), frame(ids, 1)
    table = compare({"one": first, "two": second}).correlations()
    assert list(table.index) == [(run, m) for run in ("one", "two") for m in ("lsi", "suspicion")]
    assert table.loc[("one", "lsi"), ("two", "suspicion")] == pytest.approx(
        spearmanr(first["lsi"], second["suspicion"]).statistic
    )
    assert pairwise_agreement(table, "lsi") == {
        ("one", "two"): pytest.approx(spearmanr(first["lsi"], second["lsi"])[0])
    }


def test_a_class_that_doubled_says_so() -> None:
    ids = [f"s{i}" for i in range(60)]
    first = frame(ids, 0)
    second = first.assign(lsi=first["lsi"] * np.where(first["label"] == "a", 2.0, 1.0))
    table = compare({"one": first, "two": second}).class_shift("one", "two").set_index("label")
    assert table.loc["a", ["ratio", "low", "high"]].tolist() == pytest.approx([2, 2, 2])
    assert table.loc["b", ["ratio", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    assert table["n"].sum() == 60


def test_too_few_runs_or_samples_are_named() -> None:
    with pytest.raises(InputError, match="two different runs"):
        compare({"one": frame(["a", "b"], 0)})
    with pytest.raises(InputError, match="one, two share 1 sample"):
        compare({"one": frame(["a", "b"], 0), "two": frame(["b", "c"], 0)})
    assert corrupted_rows({"one": frame(["a"], 0)}) is None


def test_the_command_line_prints_what_the_module_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RunStore(tmp_path)
    flips = [{"kind": "flip_labels", "rate": 0.1, "seed": 0}]
    clean, _ = compute(RunConfig(name="clean", source={"kind": "digits"}), store)
    flipped, _ = compute(RunConfig(name="flipped", source={"kind": "digits"}, corruption=flips), store)
    monkeypatch.setenv("LSI_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["lsi", "compare", "clean", "flipped", "--json", "--top", "5"])
    with pytest.raises(SystemExit, match="0"):
        main()
    found = json.loads(capsys.readouterr().out)
    joined = compare({"clean": clean.scores(), "flipped": flipped.scores()})
    moved = joined.shifts("clean", "flipped").head(5)
    assert [row["sample_id"] for row in found["moved"]] == moved["sample_id"].tolist()
    assert found["shared"] == 1797
    table = difficulty([clean, flipped])
    assert [row["p50"] for row in found["difficulty"]] == pytest.approx(table["p50"].tolist())
    assert table["accuracy"].iloc[0] > table["accuracy"].iloc[1] + 0.05
    assert table["reliability"].isna().all()
    corrupted = corrupted_rows(joined.frames)
    assert corrupted is not None
    assert corrupted.sum() == 180
    assert moved["sample_id"].isin(flipped.scores().query("corrupted")["sample_id"]).all()
