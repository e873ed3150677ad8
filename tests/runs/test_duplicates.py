"""Near-duplicates of a run: found once, kept, reported, told to stop, and found by a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from dashboard import jobs
from lsi_engine.errors import Cancelled, InputError
from lsi_engine.runs.artefacts.duplicates import duplicate_clusters, duplicates_folder, stored_clusters
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Forty samples in two classes; rows 3, 8 and 30 are the same but for a little noise."""
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 12)).astype(np.float32)
    features[[8, 30]] = features[3] + 0.01 * random.normal(size=(2, 12)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", features=features, labels=np.repeat(["left", "right"], 20))
    return RunStore(tmp_path / "cache")


def config(store: RunStore, **settings: object) -> RunConfig:
    source = {"kind": "feature_file", "path": str(store.cache.parent / "rows.npz")}
    return RunConfig(name="rows", source=source, **settings)  # type: ignore[arg-type]


def together(clusters: np.ndarray) -> list[list[int]]:
    return [rows.tolist() for rows in (np.flatnonzero(clusters == c) for c in np.unique(clusters)) if len(rows) > 1]


def test_found_once_and_told_to_stop(store: RunStore) -> None:
    run, _ = compute(config(store), store)
    assert stored_clusters(run) is None

    def stop(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("duplicates", 40)
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        duplicate_clusters(run, store.cache, stop)
    assert stored_clusters(run) is None
    assert together(duplicate_clusters(run, store.cache)) == [[3, 8, 30]]
    Path(run.config.source["path"]).unlink()
    assert together(duplicate_clusters(run, store.cache, stop)) == [[3, 8, 30]]
    (run.path / "duplicates.npy").unlink()
    with pytest.raises(InputError):
        duplicate_clusters(run, store.cache)


def test_a_run_that_leaves_them_out_whole_reports_and_keeps_them(store: RunStore) -> None:
    stages: list[str] = []
    run, _ = compute(config(store, groups="near_duplicates"), store, lambda stage, done, total: stages.append(stage))
    assert "duplicates" in stages
    assert together(stored_clusters(run)) == [[3, 8, 30]]  # type: ignore[arg-type]
    assert run.scores()["group_samples"].to_numpy()[[3, 8, 30, 0]].tolist() == [3, 3, 3, 1]


def test_a_process_of_its_own_finds_them(store: RunStore) -> None:
    run, _ = compute(config(store), store)
    jobs.start_duplicates(run, store)
    deadline = time.monotonic() + 60
    while jobs.job(duplicates_folder(run)).active and time.monotonic() < deadline:
        time.sleep(0.1)
    assert jobs.job(duplicates_folder(run)).state == "done", jobs.job(duplicates_folder(run)).log_tail()
    assert together(stored_clusters(run)) == [[3, 8, 30]]  # type: ignore[arg-type]
    assert [job.name for job in jobs.jobs(store)] == ["rows"], "it is no run of its own"
