"""The command line as a person and a program use it: exit codes, messages, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from lsi_engine.cli import main

COMMANDS = [
    [],
    ["compute"],
    *(["compute", source] for source in ("digits", "images", "cifar10", "features")),
    *(
        [name]
        for name in (
            "runs",
            "show",
            "evaluate",
            "export",
            "compare",
            "map",
            "rescore",
            "subsets",
            "dashboard",
            "doctor",
        )
    ),
]


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


Lsi = Callable[..., Result]


@pytest.fixture
def lsi(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lsi:
    """Call the program's own entry point with arguments, in an empty folder, on the module's cache."""
    monkeypatch.setenv("LSI_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["lsi", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Result(int(stopped.value.code or 0), printed.out, printed.err)

    return call


def test_python_m_is_the_same_program(cache: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "lsi_engine", "show", "nope"],
        env={**os.environ, "LSI_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "there is no run 'nope'" in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(lsi: Lsi, command: list[str]) -> None:
    result = lsi(*command, "--help")
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout


def test_the_whole_path_from_scores_to_a_subset(lsi: Lsi, tmp_path: Path) -> None:
    assert json.loads(lsi("runs", "--json").stdout) == []
    assert "lsi compute digits" in lsi("runs").stdout
    done = lsi("compute", "digits", "--flip-labels", "0.1", "--name", "flipped")
    assert done.returncode == 0, done.stderr
    assert "1,797 samples, 10 classes" in done.stdout
    assert "nothing to do" in lsi("compute", "digits", "--flip-labels", "0.1", "--name", "flipped").stdout

    listed = json.loads(lsi("runs", "--json").stdout)
    assert [(row["name"], row["state"], row["samples"]) for row in listed] == [("flipped", "done", 1797)]
    shown = json.loads(lsi("show", "flipped", "--json", "--top", "5").stdout)
    assert len(shown["highest"]) == 5
    assert len(shown["class_medians"]) == 10
    assert "digit-" in lsi("show", "flipped").stdout

    found = {(row["measure"], row["metric"]): row for row in json.loads(lsi("evaluate", "flipped", "--json").stdout)}
    assert found["suspicion", "AUROC"]["value"] > 0.99
    assert found["lsi", "AUROC"]["low"] < found["lsi", "AUROC"]["value"] < found["lsi", "AUROC"]["high"]

    wrote = lsi("export", "flipped", "--drop-suspicion", "0.9", "--format", "indices", "--json")
    assert wrote.returncode == 0, wrote.stderr
    content = json.loads((tmp_path / json.loads(wrote.stdout)["path"]).read_text())
    assert 1500 < len(content["indices"]) < 1797
    assert content["provenance"]["run"] == "flipped"


def test_images_by_folder_name_are_scored_and_bad_files_listed(lsi: Lsi, tmp_path: Path) -> None:
    from PIL import Image

    for label, grey in (("dark", 40), ("light", 200)):
        (tmp_path / "set" / label).mkdir(parents=True)
        for k in range(12):
            image = Image.new("RGB", (16, 16), (grey + k, grey - k, grey))
            image.save(tmp_path / "set" / label / f"{k}.png")
    (tmp_path / "set" / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    done = lsi("compute", "images", str(tmp_path / "set"), "--backbone", "pixels", "--image-size", "8", "--name", "set")
    assert done.returncode == 0, done.stderr
    assert "24 samples, 2 classes" in done.stdout
    assert "1 item(s) could not be used" in done.stdout
    skipped = json.loads(lsi("show", "set", "--skipped", "--json").stdout)
    assert [row["item"] for row in skipped] == ["dark/broken.png"]
    assert skipped[0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], "there is no run 'nope'"),
        (["compute", "features", "gone.npz"], "gone.npz"),
        (["compute", "images", "nowhere"], "nowhere"),
        (["compute", "digits", "--weight-decay", "-1", "--name", "w"], "weight_decay is -1"),
        (["compute", "digits", "--prior-precision", "much", "--name", "p"], "give a number or 'weight_decay'"),
        (["compute", "digits", "--flip-labels", "2", "--name", "f"], "rate of flipped labels"),
        (["compute", "images", ".", "--backbone", "resnet1000"], "resnet1000"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_plain_line_and_a_failure(
    lsi: Lsi, tmp_path: Path, arguments: list[str], message: str
) -> None:
    if arguments[:2] == ["compute", "images"] and arguments[2] == ".":
        from PIL import Image

        for label in "ab":
            (tmp_path / label).mkdir()
            Image.new("L", (9, 9)).save(tmp_path / label / "x.png")
    result = lsi(*arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_reports_a_healthy_installation(lsi: Lsi, cache: Path) -> None:
    result = lsi("doctor", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["problems"] == []
    assert report["facts"]["cache"] == str(cache)


def test_labels_that_look_like_markup_are_shown_as_they_are(lsi: Lsi, tmp_path: Path) -> None:
    random = pd.DataFrame({"x": range(20), "y": [(-1) ** k * k for k in range(20)], "label": ["[red]a[/]", "<b>"] * 10})
    random.astype({"x": float, "y": float}).to_parquet(tmp_path / "m.parquet")
    assert lsi("compute", "features", str(tmp_path / "m.parquet"), "--name", "markup").returncode == 0
    shown = lsi("show", "markup").stdout
    assert "[red]a[/]" in shown
    assert "<b>" in shown
