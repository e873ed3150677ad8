"""A run from its config to its files, killed, cancelled, repeated and refused: real processes, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from lsi_engine import SCORE_COLUMNS
from lsi_engine.curation import CleaningRule, Decisions, clean
from lsi_engine.errors import Cancelled, InputError
from lsi_engine.runs import sources
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStatus, RunStore

DIGITS = RunConfig(name="digits", source={"kind": "digits"})
FLIPS = [{"kind": "flip_labels", "rate": 0.1, "seed": 0}]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """A cache with the digits scored clean and flipped."""
    store = RunStore(tmp_path_factory.mktemp("cache"))
    compute(DIGITS, store)
    compute(DIGITS.model_copy(update={"name": "flipped", "corruption": FLIPS}), store)
    return store


def feature_file(path: Path, samples: int, dimension: int, classes: int = 10) -> Path:
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, samples)
    centres = random.normal(size=(classes, dimension))
    features = (centres[labels] + 2 * random.normal(size=(samples, dimension))).astype(np.float32)
    np.savez(path, features=features, labels=labels)
    return path


def start(cache: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lsi_engine", *arguments],
        env={**os.environ, "LSI_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_stage(folder: Path, process: subprocess.Popen[str], *stages: str) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            pytest.fail(f"the run ended before it could be stopped: {process.communicate()[0]}")
        if (folder / "status.json").exists() and json.loads((folder / "status.json").read_text())["stage"] in stages:
            return
        time.sleep(0.05)
    pytest.fail("the run never reached the stage")


def test_a_run_holds_what_it_promises(store: RunStore) -> None:
    run = store.open("digits")
    scores = run.scores()
    assert run.status.state == "done"
    assert list(scores.columns) == ["sample_id", "label", "name", *SCORE_COLUMNS]
    assert len(scores) == 1797
    assert scores["sample_id"].is_unique
    assert (scores["lsi"] >= 0).all()
    np.testing.assert_allclose(scores["lsi"], scores["lsi_mean_shift"] + scores["lsi_covariance"])
    probabilities = run.probabilities()
    assert probabilities.shape == (1797, 10)
    assert probabilities.dtype == np.float32
    given = scores["label"].map({name: k for k, name in enumerate(run.classes)}).to_numpy()
    np.testing.assert_allclose(probabilities[np.arange(1797), given], scores["loo_probability"], rtol=1e-5)
    probe = safetensors.numpy.load_file(run.path / "probe.safetensors")
    assert probe["weight"].shape == (10, 64)
    assert probe["feature_scale"].shape == (64,)
    assert run.provenance["gradient_norm"] < 1e-8
    assert not list(run.path.glob("*.tmp"))
    assert features_of(run, store.cache).shape == (1797, 64)


def test_suggested_labels_are_given_only_where_they_differ(store: RunStore) -> None:
    scores = store.open("flipped").scores()
    suggested = scores["suggested_label"]
    assert (suggested.isna() == (scores["loo_predicted_label"] == scores["label"])).all()
    assert (suggested.dropna() == scores.loc[suggested.notna(), "loo_predicted_label"]).all()


def test_a_corrupted_twin_keeps_the_truth_and_pairs_with_its_original(store: RunStore) -> None:
    clean, flipped = store.open("digits"), store.open("flipped")
    scores = flipped.scores()
    assert scores["corrupted"].sum() == 180
    assert (scores["true_label"] == clean.scores()["label"]).all()
    assert clean.provenance["dataset_fingerprint"] == flipped.provenance["dataset_fingerprint"]
    assert clean.fingerprint != flipped.fingerprint


def test_the_same_config_gives_the_same_bytes(store: RunStore, tmp_path: Path) -> None:
    again, _ = compute(DIGITS, RunStore(tmp_path))
    original = store.open("digits")
    for name in ("scores.parquet", "probabilities.npy", "probe.safetensors", "samples.parquet"):
        assert (again.path / name).read_bytes() == (original.path / name).read_bytes(), name


def test_a_finished_run_is_neither_repeated_nor_overwritten(store: RunStore) -> None:
    before = (store.path("digits") / "scores.parquet").stat().st_mtime_ns
    _, computed = compute(DIGITS, store)
    assert not computed
    with pytest.raises(InputError, match=r"weight_decay: 0.01 there, 0.5 now.*another --name"):
        compute(DIGITS.model_copy(update={"weight_decay": 0.5}), store)
    assert (store.path("digits") / "scores.parquet").stat().st_mtime_ns == before


def test_a_killed_run_shows_as_stalled_leaves_nothing_half_written_and_resumes(tmp_path: Path) -> None:
    file = feature_file(tmp_path / "big.npz", samples=9_000, dimension=150)
    folder = tmp_path / "cache" / "runs" / "big"
    process = start(tmp_path / "cache", "compute", "features", str(file))
    wait_for_stage(folder, process, "hessian", "scores")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run = RunStore(tmp_path / "cache").open("big")
    assert run.status.stalled
    assert not run.complete
    assert not (folder / "provenance.json").exists()
    output = subprocess.run(
        [sys.executable, "-m", "lsi_engine", "compute", "features", str(file)],
        env={**os.environ, "LSI_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert output.returncode == 0, output.stderr
    assert run.complete
    assert len(run.scores()) == 9_000


def test_the_cancel_flag_stops_a_run_and_is_not_a_failure(tmp_path: Path) -> None:
    file = feature_file(tmp_path / "big.npz", samples=9_000, dimension=150)
    folder = tmp_path / "cache" / "runs" / "big"
    process = start(tmp_path / "cache", "compute", "features", str(file))
    wait_for_stage(folder, process, "hessian", "scores")
    second = start(tmp_path / "cache", "compute", "features", str(file))
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "being computed by another process" in output
    (folder / "cancel").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cancelled" in output
    status = RunStore(tmp_path / "cache").open("big").status
    assert status.state == "cancelled"
    assert not (folder / "cancel").exists()


def test_a_failed_run_says_why_and_may_be_tried_again_with_other_settings(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    config = RunConfig(name="r", source={"kind": "feature_file", "path": str(tmp_path / "missing.npz")})
    with pytest.raises(InputError, match=r"missing\.npz"):
        compute(config, store)
    status = store.open("r").status
    assert status.state == "failed"
    assert "missing.npz" in status.message
    mended = config.model_copy(update={"source": {"kind": "digits"}})
    run, computed = compute(mended, store)
    assert computed
    assert run.config == mended


def test_progress_reaches_the_status_with_rate_and_eta(tmp_path: Path) -> None:
    seen: list[RunStatus] = []
    folder = tmp_path / "runs" / "digits"

    def watch(stage: str, done: int, total: int) -> None:
        seen.append(RunStatus.model_validate_json((folder / "status.json").read_text()))
        assert 0 <= done <= total
        if stage == "scores":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        compute(DIGITS, RunStore(tmp_path), watch)
    assert {"fit", "hessian"} <= {status.stage for status in seen}
    assert all(status.pid == os.getpid() and status.heartbeat for status in seen)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 81, "sp ace"])
def test_a_name_cannot_leave_the_runs_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a run"):
        RunStore(tmp_path).open(name)


def test_an_unknown_run_names_those_there_are(store: RunStore) -> None:
    with pytest.raises(InputError, match=r"no run 'nope'.*digits"):
        store.open("nope")


def test_exported_indices_are_rows_of_the_source_even_where_rows_were_unusable(tmp_path: Path) -> None:
    features = np.random.default_rng(1).normal(size=(30, 3))
    features[4, 1] = np.nan
    np.savez(tmp_path / "f.npz", features=features, labels=np.arange(30) % 2)
    source = {"kind": "feature_file", "path": str(tmp_path / "f.npz")}
    run, _ = compute(RunConfig(name="nan", source=source, corruption=FLIPS), RunStore(tmp_path))
    assert run.scores()["corrupted"].sum() == round(0.1 * 29)
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule())
    assert subset.frame()["index"].tolist() == [row for row in range(30) if row != 4]


def test_class_with_one_sample_is_scored_with_a_warning_on_record(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    labels = np.array(["a"] * 20 + ["b"] * 20 + ["lonely"])
    frame = pd.DataFrame(random.normal(size=(41, 3)), columns=["x", "y", "z"]).assign(label=labels)
    frame.to_parquet(tmp_path / "f.parquet")
    run, _ = compute(
        RunConfig(name="one", source={"kind": "feature_file", "path": str(tmp_path / "f.parquet")}), RunStore(tmp_path)
    )
    assert "lonely" in run.provenance["warnings"][0]
    assert len(run.scores()) == 41


def test_features_of_a_file_are_unpacked_once_and_read_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 5)).astype(np.float16)
    np.savez(tmp_path / "rows.npz", features=features, labels=np.repeat(["a", "b"], 30))
    source = {"kind": "feature_file", "path": str(tmp_path / "rows.npz")}
    kept = RunStore(tmp_path / "cache")
    flip = {"kind": "flip_labels", "rate": 0.1, "seed": 0}
    run, _ = compute(RunConfig(name="clean", source=source), kept)
    twin, _ = compute(RunConfig(name="twin", source=source, corruption=[flip], left_out=(10, 20)), kept)
    small = features_of(run, kept.cache)
    assert not isinstance(small, np.memmap)
    assert not (kept.cache / "features").exists()
    monkeypatch.setattr(sources, "KEPT_BYTES", 1)
    assert isinstance(features_of(run, kept.cache), np.memmap)
    (tmp_path / "rows.npz").unlink()  # from here on the unpacked ones serve, for both runs
    np.testing.assert_array_equal(features_of(run, kept.cache), features.astype(np.float32))
    np.testing.assert_array_equal(features_of(run, kept.cache, np.array([7, 3])), features[[7, 3]].astype(np.float32))
    np.testing.assert_array_equal(features_of(twin, kept.cache), features[10:20].astype(np.float32))
    np.testing.assert_array_equal(features_of(twin, kept.cache, np.array([9])), features[[19]].astype(np.float32))
    assert sources.feature_dimension(twin, kept.cache) == 5
    assert len(list((kept.cache / "features" / "files").iterdir())) == 1
