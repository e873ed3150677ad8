"""The commands for published sets, DICOM, corruptions and shipped scores, from their arguments to the stored run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lsi_engine.cli import app
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore

# The writers of real files live beside the sources' tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sources"))
from written_dicom import dataset, film, payload
from written_images import encoded, pattern, write

PIXELS = ["--backbone", "pixels", "--image-size", "4"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "cache"


def lsi(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_sweep_makes_a_run_a_value_and_prints_the_medians(tmp_path: Path, cache: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "f.npz", features=random.normal(size=(60, 3)), labels=np.repeat(["a", "b"], 30))
    noise = ["--corrupt", "feature_noise:classes=b", "--sweep", "sigma=0,2", "--corrupt", "flip_labels:rate=0.1"]
    printed = lsi("compute", "features", str(tmp_path / "f.npz"), *noise)
    assert "median LSI by sigma" in printed
    run = RunStore(cache).open("f-sigma2")
    assert [step["kind"] for step in run.config.corruption] == ["feature_noise", "flip_labels"]
    # Labels first: the noise then goes to whoever is labelled b, six of them or so wrongly.
    scores = run.scores()
    noisy = scores["corruption"].str.contains("feature_noise 2", regex=False)
    assert (scores["label"] == "b").tolist() == noisy.tolist()
    assert not RunStore(cache).open("f-sigma0").scores()["corruption"].str.contains("feature_noise").any()


def test_pneumonia_and_dicom_become_runs_with_groups(tmp_path: Path, cache: Path) -> None:
    for number in range(4):
        for folder, name in (("NORMAL", f"IM-{number:04d}-0001.jpeg"), ("PNEUMONIA", f"person{number}_virus_1.jpeg")):
            write(tmp_path / "chest_xray" / "test" / folder / name, encoded(pattern(seed=number), "JPEG"))
    lsi("compute", "pneumonia", str(tmp_path / "chest_xray"), "--split", "test", *PIXELS)
    scores = RunStore(cache).open("pneumonia-test").scores()
    assert scores["label"].value_counts().to_dict() == {"normal": 4, "viral": 4}
    assert scores["group"].nunique() == 8
    for number, view in enumerate(["PA", "AP"] * 3):
        made = dataset(film(seed=number), PatientID=f"patient {number % 3}", ViewPosition=view)
        write(tmp_path / "films" / f"{number}.dcm", payload(made))
    lsi("compute", "dicom", str(tmp_path / "films"), "--label-field", "ViewPosition", *PIXELS)
    films = RunStore(cache).open("films").scores()
    assert films["label"].tolist() == ["PA", "AP"] * 3
    assert films["group"].nunique() == 3


def test_listings_are_for_people_and_programs() -> None:
    listed = json.loads(lsi("corruptions", "--json"))
    assert listed["blur"]["settings"] == {"rate": 0.1, "severity": 3, "classes": None, "seed": 0}
    assert "feature_noise" in lsi("corruptions")
    assert set(json.loads(lsi("load", "--json"))) >= {"cifar10", "digits", "pneumonia"}


def test_shipped_scores_open_without_computing(cache: Path) -> None:
    assert "1,797 samples" in lsi("load", "digits", "--name", "shipped")
    assert len(RunStore(cache).open("shipped").scores()) == 1797


def test_a_missing_dataset_says_where_it_was_looked_for_and_how_to_get_it(cache: Path) -> None:
    with pytest.raises(InputError, match=r"cache/datasets.*--download fetches it from https://www\.cs\.toronto\.edu"):
        lsi("compute", "cifar10", *PIXELS)
    with pytest.raises(InputError, match=r"lsi compute imagenette --download"):
        lsi("compute", "imagenette", *PIXELS)
