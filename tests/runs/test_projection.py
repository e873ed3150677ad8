"""Maps of a run: what they place, what they keep, and how they are told to stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsi_engine.errors import Cancelled, InputError
from lsi_engine.runs.artefacts import projection
from lsi_engine.runs.artefacts.projection import placed_rows, project, stored
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Two far-apart blobs in 6 dimensions, one direction much wider than the others."""
    random = np.random.default_rng(0)
    labels = np.repeat(["left", "right"], 60)
    features = random.normal(size=(120, 6)).astype(np.float32)
    features[:, :3] += np.where(labels == "left", -9, 9)[:, None]
    np.savez(tmp_path / "blobs.npz", features=features, labels=labels)
    store = RunStore(tmp_path / "cache")
    source = {"kind": "feature_file", "path": str(tmp_path / "blobs.npz")}
    compute(RunConfig(name="blobs", source=source), store)
    return store


def separated(run: Run, points: np.ndarray) -> bool:
    """Whether a line across the map tells the blobs apart."""
    left = (run.scores()["label"] == "left").to_numpy()
    direction = points[left].mean(axis=0) - points[~left].mean(axis=0)
    along = points @ direction
    return bool(along[left].min() > along[~left].max())


def test_pca_fills_the_square_tells_the_blobs_apart_and_is_kept(store: RunStore) -> None:
    run = store.open("blobs")
    assert stored(run, "pca") is None
    points = project(run, store.cache, "pca")
    assert points.shape == (120, 2)
    assert points.dtype == np.float32
    assert np.ptp(points, axis=0).max() == pytest.approx(1)
    assert points.min() >= -1e-6
    assert points.max() <= 1 + 1e-6
    assert separated(run, points)
    np.testing.assert_array_equal(stored(run, "pca"), points)
    (Path(run.config.source["path"])).unlink()
    np.testing.assert_array_equal(project(run, store.cache, "pca"), points)
    with pytest.raises(InputError):
        project(run, store.cache, "umap")


def test_umap_places_what_is_too_much_reports_and_can_be_cancelled(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.open("blobs")
    monkeypatch.setattr(projection, "MOST_PLACED", 80)
    stages: list[str] = []

    def stop_in_layout(stage: str, done: int, total: int) -> None:
        stages.append(stage)
        if stage == "placing":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        project(run, store.cache, "umap", stop_in_layout)
    assert list(dict.fromkeys(stages)) == [
        "features",
        "components",
        "neighbours",
        "layout",
        "placing",
    ]
    assert stored(run, "umap") is None
    points = project(run, store.cache, "umap")
    rows = placed_rows(120)
    assert len(np.unique(rows)) == 80
    assert np.isfinite(points).all()
    # Each of the others lies beside laid-out samples of its own blob.
    left = (run.scores()["label"] == "left").to_numpy()
    for row in np.setdiff1d(np.arange(120), rows):
        nearest = rows[np.linalg.norm(points[rows] - points[row], axis=1).argmin()]
        assert left[nearest] == left[row]


def test_an_unknown_map_is_named(store: RunStore) -> None:
    with pytest.raises(InputError, match="tsne"):
        project(store.open("blobs"), store.cache, "tsne")  # type: ignore[arg-type]
