"""Exporting in a browser: counts before writing, the file, and the same bytes from the command line."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
from driving import Served, press, settled, shown, visit
from playwright.sync_api import Page, expect

from lsi_engine.cli import main
from lsi_engine.curation import CleaningRule, Decisions, export_bytes, read_export
from lsi_engine.curation.export import subset_of
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser
RUN = "digits-flipped"


@pytest.fixture
def log(served: Served) -> Decisions:
    """The run's log with one relabel, one drop and one unsure (made once, found again later)."""
    log = Decisions(served.cache / "runs" / RUN / "decisions.sqlite")
    if log.latest().empty:
        scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet")
        wrong = scores[scores["corrupted"]].head(3)
        first, second, third = wrong.itertuples()
        log.record(
            first.sample_id,
            "relabel",
            new_label=first.true_label,
            reviewer="ann",
            expected_revision=0,
            given_label=first.label,
        )
        log.record(second.sample_id, "drop", reviewer="ann", expected_revision=0, given_label=second.label)
        log.record(third.sample_id, "unsure", reviewer="ann", expected_revision=0, given_label=third.label)
    return log


def expect_total(page: Page, name: str, value: str) -> None:
    metric = page.get_by_test_id("stMetric").filter(has_text=name)
    expect(metric.get_by_test_id("stMetricValue")).to_have_text([value])


def download(page: Page, folder: Path) -> Path:
    with page.expect_download() as started:
        press(page.get_by_role("button", name="Download digits"))
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def from_command_line(page: Page, served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Carry out the command that the page shows, writing elsewhere."""
    settled(page)
    words = shlex.split(page.locator("code").filter(has_text="lsi export").inner_text())
    assert words[:2] == ["lsi", "export"]
    words[words.index("--to") + 1] = str(folder / "cli")
    monkeypatch.setenv("LSI_CACHE", str(served.cache))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="0"):
        main()
    return folder / "cli"


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "indices"])
def test_download_written_file_and_command_line_are_the_same_bytes(
    served: Served, page: Page, log: Decisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    visit(page, f"{served.address}/export?run={RUN}&export_format={format}")
    shown(page.get_by_text("1 relabel · 1 drop · 1 unsure"))
    for name, value in {"Kept": "1,795", "Relabelled": "1", "Dropped": "1", "In the file": "1,796"}.items():
        expect_total(page, name, value)
    path = download(page, tmp_path)
    frame, origin = read_export(path)
    assert len(frame) == 1796
    assert origin["run"] == RUN
    assert origin["decisions"] == log.digest()
    relabelled = log.latest().query("action == 'relabel'").iloc[0]
    exported = frame.set_index("sample_id")
    assert exported.loc[relabelled["sample_id"], "final_label"] == relabelled["new_label"]
    assert log.latest().query("action == 'drop'")["sample_id"].iloc[0] not in exported.index

    press(page.get_by_role("button", name="Write to the exports folder"))
    shown(page.get_by_text("Written:"))
    written = served.cache / "exports" / path.name
    assert written.read_bytes() == path.read_bytes()
    assert from_command_line(page, served, tmp_path, monkeypatch).read_bytes() == path.read_bytes()


def test_the_rule_changes_the_counts_and_the_file(
    served: Served, page: Page, log: Decisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(page, f"{served.address}/export?run={RUN}")
    press(page.get_by_role("radio", name="drop", exact=True))
    expect_total(page, "Dropped", "2")
    press(page.get_by_text("Drop undecided samples with a doubtful label"))
    press(page.get_by_text("Keep only a share of each class"))
    press(page.get_by_text("List the dropped samples too"))
    press(page.get_by_role("radio", name="lowest"))
    expect(page.locator("code").filter(has_text="--list-dropped")).to_contain_text("--keep-end lowest")
    path = download(page, tmp_path)
    frame, origin = read_export(path)
    scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet")
    assert len(frame) == len(scores)
    assert origin["rule"] == {
        "apply_decisions": True,
        "unsure": "drop",
        "drop_suspicion": 0.9,
        "keep_fraction": 0.5,
        "keep_end": "lowest",
        "deduplicate": False,
        "balance": False,
        "validation": 0,
        "test": 0,
        "seed": 0,
        "list_dropped": True,
    }
    kept = frame[frame["action"] != "drop"]
    expect_total(page, "In the file", f"{len(kept):,}")
    doubtful = scores[(scores["suspicion"] >= 0.9) & scores["suggested_label"].notna()]
    undecided = set(doubtful["sample_id"]) - set(log.latest()["sample_id"])
    assert undecided
    assert not undecided & set(kept["sample_id"])
    assert from_command_line(page, served, tmp_path, monkeypatch).read_bytes() == path.read_bytes()


def test_a_folder_of_pictures_in_balanced_parts(served: Served, page: Page, log: Decisions) -> None:
    visit(page, f"{served.address}/export?run={RUN}")
    press(page.get_by_text("Thin every class to the smallest"))
    shown(page.locator("code").filter(has_text="--balance"))
    field = page.get_by_role("spinbutton", name="Test part, %")
    settled(page)
    field.fill("20")
    field.press("Enter")
    expect(page.locator("code").filter(has_text="--test 0.2")).to_contain_text("--balance")
    press(page.get_by_role("button", name="Make the folder"))
    expect(page.get_by_text(f"{RUN}.imagefolder.").last).to_be_visible()
    (root,) = (served.cache / "exports").glob(f"{RUN}.imagefolder.*")
    sizes = {part: [len(list(one.iterdir())) for one in sorted((root / part).iterdir())] for part in ("train", "test")}
    totals = [a + b for a, b in zip(sizes["train"], sizes["test"], strict=True)]
    assert len(totals) == 10
    assert max(totals) == min(totals)
    assert abs(sum(sizes["test"]) / sum(totals) - 0.2) < 0.02


def test_a_manifest_sets_the_rule_and_says_whether_the_subset_is_the_same(
    served: Served, page: Page, log: Decisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(content: bytes) -> None:
        (tmp_path / "m.json").write_bytes(content)
        press(page.get_by_role("button", name="Open a manifest"))
        page.locator("input[type=file]").set_input_files(tmp_path / "m.json")

    run = RunStore(served.cache).open(RUN)
    rule = CleaningRule(keep_fraction=0.25, keep_end="lowest", balance=True, test=0.1, seed=3, unsure="drop")
    manifest = export_bytes(subset_of(run, rule, served.cache), run, "manifest")
    visit(page, f"{served.address}/export?run={RUN}&export_format=manifest")
    opened(manifest)
    shown(page.get_by_text("The same subset as the manifest's"))
    expect(page.locator("code").filter(has_text="--keep-fraction 0.25")).to_contain_text("--test 0.1 --seed 3")
    assert (
        from_command_line(page, served, tmp_path, monkeypatch).read_bytes()
        == manifest
        == download(page, tmp_path).read_bytes()
    )

    press(page.get_by_text("Thin every class to the smallest"))
    shown(page.get_by_text("rule: balance: yes in the manifest, no here"))
    press(page.get_by_role("button", name="Back to the manifest's rule"))
    shown(page.get_by_text("The same subset as the manifest's"))
    hostile = json.loads(manifest)
    hostile["provenance"] |= {"run": "<img src=x onerror=alert(1)> **b**", "scores_fingerprint": "f00d"}
    opened(json.dumps(hostile).encode())
    shown(page.get_by_text("run: <img src=x onerror=alert(1)> **b** (f00d) in the manifest"))
    opened(b'{"provenance": {"program": "<script>"}}')
    shown(page.get_by_text("m.json is not a manifest of this program: program"))
