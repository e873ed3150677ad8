"""The figures of the Compare page: what they draw is what their tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dashboard.charts.comparison import class_shift, correlation_matrix, difficulty_axis, shift_scatter
from lsi_engine.runs.comparison import compare

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(0)
    base = {"sample_id": [f"s{i}" for i in range(50)], "label": random.choice(["cat", HOSTILE], 50)}
    scores = {name: random.lognormal(size=50) for name in ("one", "two")}
    return {
        name: pd.DataFrame({**base, "lsi": lsi, "suspicion": random.uniform(size=50)}) for name, lsi in scores.items()
    }


def test_the_matrix_draws_the_rankings_people_use_and_lists_all(frames: dict[str, pd.DataFrame]) -> None:
    table = compare(frames).correlations()
    chart = correlation_matrix(table)
    heat = chart.figure.data[0]
    assert list(heat.x) == ["LSI · one", "LSI · two", "suspicion · one", "suspicion · two"]
    assert np.diag(heat.z) == pytest.approx(1)
    assert len(chart.table) == len(table)


def test_a_shift_draws_every_sample_and_marks_the_corrupted(frames: dict[str, pd.DataFrame]) -> None:
    shifts = compare(frames).shifts("one", "two")
    marked = np.arange(50) < 5
    chart = shift_scatter(shifts, "one", "two", marked=marked, noun="images")
    assert [len(trace.x) for trace in chart.figure.data] == [45, 5]
    assert "<img" not in str(chart.figure.to_json()).replace("\\u003c", "<")
    far = int((shifts["shift"].abs() > 25).sum())
    assert f"{far} moved" in chart.alt


def test_classes_and_datasets_are_sorted_by_what_they_show(frames: dict[str, pd.DataFrame]) -> None:
    table = compare(frames).class_shift("one", "two")
    chart = class_shift(table, "one", "two", {}, measure="lsi")
    assert (chart.table["second"].diff().dropna() >= 0).all()
    assert "&lt;img" in str(chart.figure.layout.yaxis.ticktext)
    rows = [
        {"run": name, "samples": 10, "p5": 0.0, "p25": 0.1, "p50": middle, "p75": 2.0, "p95": 3.0}
        for name, middle in (("hard", 1.0), ("easy", 0.5))
    ]
    axis = difficulty_axis(pd.DataFrame(rows))
    assert list(axis.figure.layout.yaxis.ticktext) == ["easy", "hard"]
    assert "hard has the highest median" in axis.alt
