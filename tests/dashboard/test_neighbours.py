"""Neighbours: the nearest typical samples, among all of them or among as many as memory is meant to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dashboard.components import neighbours
from dashboard.data import open_run
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore

ROWS, DIMENSION = 60, 5


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Features of a run called ``rows``; row 41 is a copy of row 40."""
    made = np.random.default_rng(3).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    made[41] = made[40]
    np.savez(tmp_path / "rows.npz", features=made, labels=["a", "b"] * (ROWS // 2))
    monkeypatch.setenv("LSI_CACHE", str(tmp_path))
    compute(RunConfig(name="rows", source={"kind": "feature_file", "path": str(tmp_path / "rows.npz")}), RunStore())
    return made


@pytest.mark.parametrize("kept", [ROWS, 20])
def test_nearest_typical_samples_of_those_that_are_kept(
    features: np.ndarray, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "MOST_BYTES", 4 * DIMENSION * kept)
    neighbours._space.clear()
    neighbours._nearest.clear()
    neighbours._duplicates.clear()
    data = open_run("rows")
    rows = np.linspace(0, ROWS - 1, kept).round().astype(int)
    assert neighbours.compared(data) == kept
    points = (features - features[rows].mean(axis=0)) / features[rows].std(axis=0)
    lsi, labels = data.frame["lsi"].to_numpy(), data.frame["label"].to_numpy()
    for row in (0, 41):  # row 41 is not among the 20
        typical = [n for n in rows if labels[n] == "a" and lsi[n] <= np.median(lsi[labels == "a"]) and n != row]
        nearest = sorted(typical, key=lambda n: float(np.linalg.norm(points[n] - points[row])))
        assert neighbours.nearest_typical(data, row, "a", 3) == nearest[:3]
    assert neighbours.near_duplicates(data, 41) == ([40] if 40 in rows else [])
