"""The paper's own flags: what they become, and a run that comes out."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lsi_engine import score
from lsi_engine.errors import InputError
from lsi_engine.reference import main, parser, plan
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import RunStore

NAMES = ["airplane", "bird", "cat", "dog"]


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(4), 15)
    pixels = (random.integers(0, 120, (60, 3072)) + 30 * labels[:, None]).astype(np.uint8)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({b"label_names": [n.encode() for n in NAMES]}, protocol=2))
    content = {b"data": pixels, b"labels": labels.tolist()}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    noisy = np.where(np.arange(60) % 10 == 0, (labels + 1) % 4, labels)
    np.savez(tmp_path / "human.npz", clean_label=labels, aggre_label=noisy)
    return tmp_path


def planned(cifar: Path, *flags: str) -> tuple[RunConfig, list[str]]:
    return plan(parser().parse_args(["--dataset", "cifar10", "--data_path", str(cifar), *flags]))


def test_the_defaults_are_the_reference_s_but_for_the_subset(cifar: Path) -> None:
    config, told = planned(cifar)
    assert (config.learning_rate, config.weight_decay, config.momentum, config.epochs) == (0.004, 1e-4, 0.9, 1000)
    assert (config.prior_precision, config.hessian, config.probe, config.seeds) == (1.0, "diag", "linear", 1)
    assert (config.method, config.feature_scaling, config.left_out) == ("retrain", "none", None)
    assert "the reference takes 50" in told[0]
    assert planned(cifar, "--subset", "12")[0].source["first"] == 12


@pytest.mark.parametrize(("model", "probe"), [("TinyModel", "linear"), ("MiddleModel", 32), ("LargerModel", 256)])
def test_models_and_ranges(cifar: Path, model: str, probe: object) -> None:
    config, _ = planned(cifar, "--model", model, "--laptype", "full", "--range1", "3", "--n_seeds", "2")
    assert (config.probe, config.hessian, config.left_out, config.seeds) == (probe, "full", (3, 60), 2)
    assert planned(cifar, "--range1", "3", "--range2", "9")[0].left_out == (3, 9)
    with pytest.raises(InputError, match="there are 60 samples"):
        planned(cifar, "--range2", "61")


def test_corruptions_by_class_number(cifar: Path) -> None:
    config, _ = planned(cifar, "--corrupt_label", "0.2", "--corrupt_data", "0.1", "--corrupt_data_label", "0", "2")
    assert config.corruption == [
        {"kind": "flip_labels", "rate": 0.2, "seed": 5},
        {"kind": "feature_noise", "sigma": 0.1, "classes": ["airplane", "cat"], "seed": 5},
    ]
    with pytest.raises(InputError, match="classes 0 to 3"):
        planned(cifar, "--corrupt_data", "0.1", "--corrupt_data_label", "4")
    human = planned(cifar, "--human_label_noise", "True", "--noisy_label_location", str(cifar / "human.npz"))[0]
    assert human.corruption == [{"kind": "human_labels", "file": str(cifar / "human.npz"), "which": "aggre"}]
    assert planned(cifar, "--human_label_noise", "False")[0].corruption == []


def test_what_cannot_be_retrained_in_time_is_closed_form_and_says_so(cifar: Path) -> None:
    config, told = planned(cifar, "--epochs", "100000000")
    assert config.method == "closed_form"
    assert "retraining would take about" in "\n".join(told)
    assert planned(cifar, "--epochs", "100000000", "--method", "retrain")[0].method == "retrain"
    assert planned(cifar, "--epochs", "100000000", "--model", "MiddleModel")[0].method == "retrain"


def test_a_run_comes_out_that_is_what_score_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features = np.random.default_rng(1).normal(size=(40, 5))
    labels = np.arange(40) % 3
    np.savez(tmp_path / "f.npz", features=features, labels=labels)
    asked = {"n_seeds": 2, "epochs": 200, "lr": 0.04, "wd": 0.01, "laptype": "full", "range2": 6}
    asked |= {"human_label_noise": False, "data_path": tmp_path / "f.npz", "name": "ours"}
    cache = tmp_path / "cache"
    monkeypatch.setenv("LSI_CACHE", str(cache))
    monkeypatch.setattr(sys, "argv", ["reference", *(f"--{name}={value}" for name, value in asked.items())])
    main()
    assert "left out   6 of them" in capsys.readouterr().out
    scores = RunStore(cache).open("ours").scores()
    expected = score(
        features.astype(np.float32).astype(np.float64),
        labels,
        weight_decay=0.01,
        hessian="full",
        method="retrain",
        prior_precision=1.0,
        epochs=200,
        seeds=2,
        samples=range(6),
    ).to_frame()
    assert len(scores) == 6
    np.testing.assert_allclose(scores["lsi"], expected["lsi"], rtol=1e-3)


def test_missing_data_is_one_plain_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lsi_engine.reference", "--dataset", "cifar100"],
        env=os.environ | {"LSI_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "CIFAR-100 (python version, 161 MB) is not in" in done.stderr
    assert "--download" in done.stderr
    assert "Traceback" not in done.stderr
