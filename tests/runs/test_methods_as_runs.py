"""Every method as a run: settings reach the engine, seeds are kept, trained shards resume, groups are scored."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lsi_engine import score
from lsi_engine.cli import main
from lsi_engine.curation.rescore import rescore
from lsi_engine.errors import Cancelled, InputError
from lsi_engine.runs.comparison import reliability
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture
def features(tmp_path):
    """80 samples in 3 classes; rows 0 and 1 are copies of one another; groups of two."""
    random = np.random.default_rng(3)
    labels = np.arange(80) % 3
    x = random.normal(size=(3, 16))[labels] + random.normal(size=(80, 16))
    x[1], labels[1] = x[0], labels[0]
    path = tmp_path / "x.npz"
    np.savez(path, features=x, labels=labels, groups=[f"p{row // 2}" for row in range(80)])
    return path


def config(path, name="run", **settings):
    return RunConfig(name=name, source={"kind": "feature_file", "path": str(path)}, **settings)


def test_a_retrained_run_has_what_the_engine_returns_and_each_seed(features, tmp_path):
    store = RunStore(tmp_path / "cache")
    asked = config(
        features, method="retrain", epochs=40, seeds=2, left_out=(3, 9), score_epochs=[10], learning_rate=0.1
    )
    run, _ = compute(asked, store)
    archive = np.load(features)
    expected = score(
        archive["features"],
        archive["labels"].astype(str),
        method="retrain",
        epochs=40,
        seeds=2,
        samples=range(3, 9),
        learning_rate=0.1,
        feature_scaling="standardize",
    )
    scores = run.scores()
    assert scores["sample_id"].tolist() == [f"row-{row:06d}" for row in range(3, 9)]
    np.testing.assert_array_equal(scores["lsi"], expected.lsi)
    assert {"lsi_low", "lsi_high"} <= set(scores)
    assert features_of(run, store.cache).shape == (6, 16)
    stored = np.load(run.path / "seed_scores.npz", allow_pickle=False)
    assert stored["epochs"].tolist() == [10, 40]
    assert stored["mean_shift"].shape == (2, 2, 6)
    assert reliability(run) == pytest.approx(expected.info["seed_spearman"]["mean"])
    assert not (run.path / "shards").exists()
    with pytest.raises(InputError, match="scored some of its rows only"):
        rescore(run, store)


def test_a_cancelled_retraining_goes_on_from_its_shards(features, tmp_path, monkeypatch):
    from lsi_engine.scores.lsi import retrain

    monkeypatch.setattr(retrain, "CPU_MODELS", 4)
    store, asked = RunStore(tmp_path / "cache"), config(features, method="retrain", epochs=20, left_out=(0, 12))
    trained = []

    def stop_in_the_third_shard(stage: str, done: int, total: int) -> None:
        trained.append(stage)
        if stage == "retrain" and done > 20 + 2 * 20 + 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        compute(asked, store, stop_in_the_third_shard)
    shards = sorted((store.path("run") / "shards").iterdir())
    assert len(shards) == 2
    before = trained.count("retrain")
    trained.clear()
    run, computed = compute(asked, store, lambda stage, done, total: trained.append(stage))
    assert computed
    assert trained.count("retrain") < before
    whole, _ = compute(asked.model_copy(update={"name": "whole"}), store)
    np.testing.assert_array_equal(run.scores()["lsi"], whole.scores()["lsi"])


def test_groups_and_near_duplicates_become_columns(features, tmp_path):
    store = RunStore(tmp_path / "cache")
    grouped, _ = compute(config(features, "grouped", groups="group"), store)
    scores = grouped.scores()
    assert (scores["group_samples"] == 2).all()
    assert (scores.groupby("group")["group_lsi"].nunique() == 1).all()
    copies, _ = compute(config(features, "copies", groups="near_duplicates"), store)
    scores = copies.scores()
    assert scores["group_samples"].tolist() == [2, 2] + [1] * 78
    assert scores["duplicate_group"].notna().tolist() == [True, True] + [False] * 78
    np.testing.assert_allclose(scores["group_lsi"][2:], scores["lsi"][2:], rtol=0.02)
    assert (scores["group_suspicion"][:2] > scores["suspicion"][:2]).all()
    with pytest.raises(InputError, match="'diag' or 'full'"):
        compute(config(features, "no", groups="group", hessian="kron"), store)


def test_a_source_without_groups_says_so(tmp_path):
    with pytest.raises(InputError, match="says nothing about groups"):
        compute(RunConfig(name="d", source={"kind": "digits"}, groups="group"), RunStore(tmp_path))


def test_the_command_line_offers_every_method(features, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))

    def lsi(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["lsi", "compute", "features", str(features), *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    done = lsi(
        "--name=t", "--method=trajectory", "--epochs=60", "--learning-rate=0.01", "--rows=0:20", "--hessian=full"
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "cache" / "runs" / "t" / "provenance.json").read_text())["engine"]
    assert (kept["method"], kept["epochs"], kept["left_out"], kept["hessian"]) == ("trajectory", 60, 20, "full")
    done = lsi("--name=r", "--method=retrain", "--hidden=4", "--epochs=30", "--seeds=2", "--rows=0:6")
    assert done.returncode == 0, done.stderr
    assert "seed-to-seed Spearman" in done.stdout
    assert lsi("--name=k", "--hessian=kron").returncode == 0
    assert Run(tmp_path / "cache" / "runs" / "k").provenance["engine"]["hessian"] == "kron"
    for wrong, said in (("--rows=5:x", "--rows '5:x'"), ("--score-epochs=a", "--score-epochs 'a'")):
        refused = lsi("--name=x", wrong)
        assert refused.returncode != 0
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
    assert isinstance(pd.read_parquet(tmp_path / "cache" / "runs" / "r" / "scores.parquet"), pd.DataFrame)
