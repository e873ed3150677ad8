"""Finished trainings on disk: resumed after a kill, and never trusted when broken."""

from __future__ import annotations

import numpy as np
import pytest
from dense_reference import blobs

from lsi_engine import Cancelled, score
from lsi_engine.runs.shards import ShardFolder
from lsi_engine.scores.lsi import retrain as module

PROBLEM = blobs(4, 40, 4, 3)
OPTIONS = {"method": "retrain", "epochs": 30, "prior_precision": 1.0, "seeds": 2}


def test_a_folder_is_a_mapping(tmp_path):
    folder = ShardFolder(tmp_path / "new" / "shards")
    assert dict(folder) == {}
    folder["b"] = {"x": np.arange(3.0)}
    folder["a"] = {"x": np.zeros((2, 2)), "y": np.ones(1)}
    assert list(folder) == ["a", "b"]
    assert len(ShardFolder(tmp_path / "new" / "shards")) == 2
    np.testing.assert_array_equal(folder["b"]["x"], [0.0, 1.0, 2.0])
    assert folder["a"]["y"].shape == (1,)
    del folder["a"]
    assert "a" not in folder
    with pytest.raises(KeyError):
        del folder["a"]


def test_a_cancelled_score_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CPU_MODELS", 16)
    whole = score(PROBLEM.features, PROBLEM.labels, **OPTIONS)
    steps = 0

    def stop(stage: str, done: int, total: int) -> None:
        nonlocal steps
        steps += stage == "retrain"
        if steps == 75:
            raise Cancelled

    with pytest.raises(Cancelled):
        score(PROBLEM.features, PROBLEM.labels, shards=ShardFolder(tmp_path), progress=stop, **OPTIONS)
    assert len(ShardFolder(tmp_path)) == 2
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = score(PROBLEM.features, PROBLEM.labels, shards=ShardFolder(tmp_path), **OPTIONS)
    assert len(ShardFolder(tmp_path)) == 6
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    np.testing.assert_array_equal(again.lsi, whole.lsi)


def test_a_broken_file_is_computed_again(tmp_path):
    first = score(PROBLEM.features, PROBLEM.labels, shards=ShardFolder(tmp_path), **OPTIONS)
    path = next(iter(sorted(tmp_path.glob("*.npz"))))
    path.write_bytes(path.read_bytes()[:100])
    assert path.stem not in ShardFolder(tmp_path)
    again = score(PROBLEM.features, PROBLEM.labels, shards=ShardFolder(tmp_path), **OPTIONS)
    np.testing.assert_array_equal(again.lsi, first.lsi)
    assert path.stem in ShardFolder(tmp_path)
