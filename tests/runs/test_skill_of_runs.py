"""What the probe of a stored run knows, in the run, on the command line, in exports and in the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss
from typer.testing import CliRunner

from dashboard.report.contents import report
from dashboard.run_request import RunRequest
from dashboard.view.view import View
from lsi_engine.cli import app
from lsi_engine.cli.compute.commands import plan
from lsi_engine.curation import CleaningRule
from lsi_engine.curation.export import export_bytes, subset_of
from lsi_engine.curation.manifest import differences, read_manifest
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.skill import caveat_of, skill_of
from lsi_engine.runs.store import Run, RunStore

SENTENCE = "The probe does not beat guessing"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """``guessing``: features that say nothing of two classes; ``digits``: features that say nearly everything."""
    folder = tmp_path_factory.mktemp("skill")
    random = np.random.default_rng(0)
    labels = random.choice(["yes", "no"], 200)
    np.savez(folder / "noise.npz", features=random.normal(size=(200, 40)), labels=labels)
    store = RunStore(folder / "cache")
    noise = {"kind": "feature_file", "path": str(folder / "noise.npz")}
    compute(RunConfig(name="guessing", source=noise), store)
    compute(RunConfig(name="tuned", source=noise, weight_decay="auto"), store)
    compute(RunConfig(name="digits", source={"kind": "digits"}), store)
    return store


@pytest.fixture
def cache(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LSI_CACHE", str(store.cache))
    return store.cache


def test_a_run_keeps_what_follows_from_its_probabilities(store: RunStore) -> None:
    for name in ("guessing", "digits"):
        run = store.open(name)
        skill, scores = skill_of(run), run.scores()
        assert skill is not None
        assert run.provenance["skill"] == skill.to_dict()
        assert skill.accuracy == (scores["loo_predicted_label"] == scores["label"]).mean()
        assert skill.balanced_accuracy == pytest.approx(
            balanced_accuracy_score(scores["label"], scores["loo_predicted_label"]), abs=1e-12
        )
        assert skill.log_loss == pytest.approx(log_loss(scores["label"], run.probabilities()), rel=1e-5)
        assert skill.commonest_accuracy == scores["label"].value_counts(normalize=True).max()
        assert skill.commonest_balanced_accuracy == pytest.approx(1 / len(run.classes))
        assert (skill.caveat is None) == (name == "digits")


def test_a_run_of_an_earlier_version_says_the_same(store: RunStore, tmp_path: Path) -> None:
    before = store.open("guessing")
    path = tmp_path / "guessing"
    path.mkdir()
    for file in before.path.iterdir():
        if file.is_file():
            (path / file.name).write_bytes(file.read_bytes())
    facts = before.provenance
    del facts["skill"]
    (path / "provenance.json").write_text(json.dumps(facts))
    then, now = skill_of(Run(path)), skill_of(before)
    assert then is not None
    assert now is not None
    assert then.caveat == now.caveat
    assert then.log_loss == pytest.approx(now.log_loss, rel=1e-6)


@pytest.mark.parametrize("command", [["show"], ["show", "--json"], ["export", "--format", "manifest"]])
def test_the_command_line_says_so_beside_its_output(cache: Path, tmp_path: Path, command: list[str]) -> None:
    aside = ["--to", str(tmp_path / "file")] if command[0] == "export" else []
    for name, said in (("guessing", True), ("digits", False)):
        answer = CliRunner().invoke(app, [command[0], name, *command[1:], *aside], catch_exceptions=False)
        out = answer.stdout
        assert (SENTENCE in answer.stderr) == said
        if "--json" in command:
            skill = json.loads(out)["skill"]
            assert (skill["caveat"] is not None) == said
        elif command[0] == "show":
            assert "leave-one-out accuracy" in out
            assert "class frequencies" in out


def test_the_curve_is_shown(cache: Path, store: RunStore) -> None:
    engine = store.open("tuned").provenance["engine"]
    assert store.open("tuned").config.weight_decay == "auto"
    assert store.open("tuned").weight_decay == engine["weight_decay"] > 0.1
    said = CliRunner().invoke(app, ["show", "tuned"], catch_exceptions=False).stdout
    assert f"weight decay {engine['weight_decay']:g}, by the leave-one-out log loss of 200 samples: 0.01 → " in said


def test_exports_carry_the_sentence_and_open_again(store: RunStore) -> None:
    for name, said in (("guessing", True), ("digits", False)):
        run = store.open(name)
        subset = subset_of(run, CleaningRule(), store.cache)
        for format in ("manifest", "json", "csv", "indices", "coco"):
            assert (SENTENCE in export_bytes(subset, run, format).decode()) == said  # type: ignore[arg-type]
        manifest = read_manifest(export_bytes(subset, run, "manifest"), "manifest.json")
        assert manifest.caveat == caveat_of(run)
        assert differences(manifest, subset, run) == []


def test_the_report_says_what_the_probe_knows(cache: Path) -> None:
    guessing, digits = report(View(run="guessing")), report(View(run="digits"))
    assert guessing.count(SENTENCE) == 2  # at the head, and where labels to check are listed
    assert SENTENCE not in digits
    for text in (guessing, digits):
        assert "What the probe knows" in text
        assert "how often it is right" in text


def test_a_weight_decay_is_a_number_or_auto(tmp_path: Path) -> None:
    assert [plan(["digits", "--weight-decay", said])[0].weight_decay for said in ("auto", "0.3")] == ["auto", 0.3]
    assert plan(["digits"])[0].weight_decay == 0.01
    with pytest.raises(InputError, match=r"--weight-decay 'much': give a number or 'auto'"):
        plan(["digits", "--weight-decay", "much"])
    with pytest.raises(InputError, match="chosen by the closed form"):
        plan(["digits", "--weight-decay", "auto", "--method", "retrain"])[0].check()
    assert RunRequest(kind="digits", name="d", settings={"weight_decay": "auto"}).config().weight_decay == "auto"
    with pytest.raises(InputError, match="Weight decay: 'much': give a number"):
        RunRequest(kind="digits", name="d", settings={"weight_decay": "much"}).config()
