"""A run folder that cannot be read, newer or damaged, is named with a sentence and hides no other run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lsi_engine.cli import main
from lsi_engine.errors import InputError
from lsi_engine.files import write_json
from lsi_engine.runs.config import FORMAT, RunConfig, read_config, write_config
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A cache with the finished run ``good``."""
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", features=random.normal(size=(30, 3)), labels=np.arange(30) % 2)
    store = RunStore()
    compute(RunConfig(name="good", source={"kind": "feature_file", "path": str(tmp_path / "x.npz")}), store)
    return store


def _changed(store: RunStore, file: str, text: str) -> None:
    """A copy of ``good`` called ``bad``, one of its files replaced."""
    bad = store.path("bad")
    bad.mkdir()
    for each in store.path("good").iterdir():
        if each.is_file():
            (bad / each.name).write_bytes(each.read_bytes())
    (bad / file).write_text(text, encoding="utf-8")


def _with(path: Path, **changes: object) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes)


FAULTS = {
    "a newer version": ("config.json", lambda good: _with(good / "config.json", format=FORMAT + 1), "newer version"),
    "an unknown option": ("config.json", lambda good: _with(good / "config.json", sparkle=1), "sparkle"),
    "a wrong value": ("config.json", lambda good: _with(good / "config.json", hessian="best"), "hessian"),
    "an empty config": ("config.json", lambda good: "", "config.json"),
    "a list for a config": ("config.json", lambda good: "[]", "config.json"),
    "a damaged status": ("status.json", lambda good: '{"state": "asleep"}', "status.json"),
    "a cut provenance": ("provenance.json", lambda good: '{"samples": 3', "provenance.json"),
    "an empty provenance": ("provenance.json", lambda good: "{}", "provenance.json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_unreadable_run_is_named_and_hides_no_other(
    store: RunStore, fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, text, named = FAULTS[fault]
    _changed(store, file, text(store.path("good")))
    assert [run.name for run in store.runs()] == ["good"]
    assert list(store.unreadable()) == ["bad"]
    assert named in store.unreadable()["bad"]
    monkeypatch.setattr(sys, "argv", ["lsi", "runs"])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 0
    assert "good" in printed.out
    assert named in printed.err.replace("\n", "")
    monkeypatch.setattr(sys, "argv", ["lsi", "show", "bad"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_without_a_format_is_of_the_first_one(store: RunStore) -> None:
    path = store.path("good")
    stored = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert stored.pop("format") == FORMAT
    write_json(path / "config.json", stored)
    assert Run(path).config == read_config(path)
    assert Run(path).fault is None


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = RunConfig(name="x", source={"kind": "digits"}, left_out=(3, 9), prior_precision=1.5)
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config


def test_a_run_that_cannot_be_read_is_not_opened(store: RunStore) -> None:
    _changed(store, "config.json", "")
    with pytest.raises(InputError, match=r"config\.json"):
        store.open("bad")
