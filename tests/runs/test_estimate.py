"""Sizes found out without reading the data, and the table of what each method would take."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lsi_engine.cli import app
from lsi_engine.cli.compute.commands import plan
from lsi_engine.errors import InputError
from lsi_engine.runs import sizes as counting
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.estimate import estimate
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "cache")


def features(path: Path) -> Path:
    np.savez(path, features=np.random.default_rng(0).normal(size=(90, 7)), labels=np.arange(90) % 3)
    return path


def only(*arguments: str) -> RunConfig:
    (config,) = plan(arguments)
    return config


def test_sizes_from_headers_names_and_beginnings(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = counting.sizes(only("features", str(features(tmp_path / "f.npz"))), store)
    assert (found.samples, found.dimension, found.classes) == (90, 7, 3)
    np.save(tmp_path / "g.npy", np.zeros((40, 5)))
    np.save(tmp_path / "g.labels.npy", np.arange(40) % 4)
    found = counting.sizes(only("features", str(tmp_path / "g.npy")), store)
    assert (found.samples, found.dimension, found.classes) == (40, 5, 4)
    rows = "a,b,label\n" + "".join(f"{n},{n * n % 17},{'ab'[n % 2]}\n" for n in range(6000))
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write(rows)
    table = only("table", str(tmp_path / "t.csv.gz"))
    assert counting.sizes(table, store).samples == 6000
    (tmp_path / "t.csv").write_text(rows)
    monkeypatch.setattr(counting, "READ_WHOLE", len(rows) // 3)
    found = counting.sizes(only("table", str(tmp_path / "t.csv")), store)
    assert (found.dimension, found.classes, found.said) == (2, 2, "from the file's beginning")
    assert found.samples == pytest.approx(6000, rel=0.4)


def test_a_folder_that_takes_too_long_to_read_is_counted_by_its_names(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat", "dog", "ship"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "data" / name / f"{number}.png").write_bytes(b"not read")
    config = only("images", str(tmp_path / "data"), "--backbone", "pixels")
    monkeypatch.setattr(counting, "PATIENCE", -1.0)
    found = counting.sizes(config, store)
    assert (found.samples, found.dimension, found.said) == (15, 3072, "counted by file names")
    monkeypatch.setattr(counting, "PATIENCE", 5.0)
    assert counting._classes_by_name(config.source) == 3


def test_an_earlier_run_is_remembered(store: RunStore, tmp_path: Path) -> None:
    config = only("features", str(features(tmp_path / "f.npz")), "--name", "first", "--rows", "0.5")
    compute(config, store)
    assert len(store.open("first").scores()) == 45
    found = counting.sizes(config.model_copy(update={"name": "second"}), store)
    assert (found.samples, found.dimension, found.classes, found.said) == (90, 7, 3, "as in run first")


def test_every_method_is_estimated_and_what_cannot_be_says_why(store: RunStore, tmp_path: Path) -> None:
    path = str(features(tmp_path / "f.npz"))
    found = estimate(only("features", path, "--method", "retrain", "--rows", "20"), store)
    assert (found.chosen, found.left_out) == ("retrain", 20)
    assert 0 < found.costs["closed_form"].seconds < found.costs["retrain"].seconds
    hidden = estimate(only("features", path, "--method", "retrain", "--hidden", "8"), store)
    assert "hidden layer has no closed_form" in hidden.costs["closed_form"].refusal
    assert hidden.seconds is not None
    with pytest.raises(InputError, match="leave seeds at 1"):
        estimate(only("features", path, "--seeds", "2"), store)
    with pytest.raises(InputError, match="200 rows are to be left out, and there are 90"):
        estimate(only("features", path, "--method", "retrain", "--rows", "200"), store)


def test_the_command_prints_it_and_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["compute", "digits", "--estimate", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert (found["samples"], found["dimension"], found["classes"]) == (1797, 64, 10)
    assert found["methods"]["closed_form"]["seconds"] < found["methods"]["retrain"]["seconds"]
    assert not (tmp_path / "cache").exists()


def test_a_plan_refuses_what_the_command_line_refuses() -> None:
    assert [
        config.name for config in plan(["digits", "--corrupt", "flip_labels:rate=0.1", "--sweep", "rate=0,0.1"])
    ] == [
        "digits-rate0",
        "digits-rate0.1",
    ]
    with pytest.raises(InputError, match="cubic"):
        plan(["digits", "--hessian", "cubic"])
    with pytest.raises(InputError, match="how many rows"):
        plan(["digits", "--rows", "many"])


def test_choosing_a_weight_decay_is_counted(store: RunStore, tmp_path: Path) -> None:
    path = str(features(tmp_path / "f.npz"))
    plain, auto = (estimate(only("features", path, "--weight-decay", decay), store) for decay in ("0.01", "auto"))
    assert auto.costs["closed_form"].seconds > 2 * plain.costs["closed_form"].seconds
    assert auto.costs["retrain"].refusal == ""
