"""What is sent of a map: at most so many points, the same rows whatever is asked about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.components.map import points
from dashboard.components.map.points import MOST_DRAWN, drawn_rows, point_routes
from lsi_engine.runs.artefacts.projection import project
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


def test_drawn_points_are_bounded_evenly_spaced_and_placed() -> None:
    place = np.random.default_rng(0).random((3 * MOST_DRAWN, 2)).astype(np.float32)
    place[::3] = np.nan
    rows = drawn_rows(place)
    assert len(rows) == MOST_DRAWN
    assert np.isfinite(place[rows]).all()
    assert (np.diff(rows) > 0).all()
    assert np.diff(rows).max() <= 6
    assert drawn_rows(place[:9]).tolist() == [1, 2, 4, 5, 7, 8]


def test_every_answer_is_about_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(points, "MOST_DRAWN", 20)
    random = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", features=random.normal(size=(90, 5)), labels=random.choice(["a", "b"], 90))
    source = {"kind": "feature_file", "path": str(tmp_path / "rows.npz")}
    run, _ = compute(RunConfig(name="rows", source=source), RunStore())
    place = project(run, RunStore().cache, "pca")
    rows, scores = drawn_rows(place), run.scores()
    client = TestClient(Starlette(routes=point_routes()))

    def numbers(what: str, dtype: str) -> np.ndarray:
        return np.frombuffer(client.get(f"/points/rows/pca/{what}").content, dtype)

    np.testing.assert_array_equal(numbers("place", "<f4").reshape(-1, 2), place[rows])
    assert client.get("/points/rows/pca/ids").text.split("\n") == scores["sample_id"].iloc[rows].tolist()
    assert numbers("label", "<u2").tolist() == [run.classes.index(label) for label in scores["label"].iloc[rows]]
    rank = scores["lsi"].rank().to_numpy()[rows]
    assert (np.diff(numbers("lsi", "<u2")[np.argsort(rank)].astype(int)) >= 0).all()
    assert numbers("decision", "<u2").tolist() == [0] * 20
