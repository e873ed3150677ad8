"""A run folder that version 0.1 wrote, review log and all, is read and worked with as that version did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from golden_values import differences, load, recorded
from scenarios import OLD_RUN, old_run_folder
from surface import Workplace, arithmetic, files_below, threads

KEPT = Path(__file__).parent / OLD_RUN


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path)
    shutil.copytree(KEPT, made.folder(OLD_RUN))
    return made


def test_everything_it_says_is_what_it_said(place: Workplace) -> None:
    golden, about = load()
    with threads(1):
        found = recorded(old_run_folder(place))
    same = arithmetic() == about["arithmetic"]
    told = differences(found, golden[old_run_folder.__name__], 1e-12 if same else 1e-5)
    assert not told, "\n".join(told[:40])


def test_it_is_listed_shown_and_exported(place: Workplace) -> None:
    """The same in plain words, for whoever looks why the other one fails."""
    (row,) = place.json("runs")
    assert (row["name"], row["state"], row["samples"], row["classes"]) == (OLD_RUN, "done", 60, 3)
    shown = place.json("show", OLD_RUN)
    assert shown["config"]["groups"] == "group"
    assert len(shown["highest"]) == 10
    place.lsi("export", OLD_RUN, "--format", "indices", "--to", place / "indices.json")
    content = json.loads((place / "indices.json").read_text(encoding="utf-8"))
    assert len(content["indices"]) == 59  # one was dropped
    relabelled = sum(new != old for new, old in zip(content["final_labels"], _labels(place, content), strict=True))
    assert relabelled == 1
    assert {row["metric"] for row in place.json("evaluate", OLD_RUN)} >= {"AUROC", "average precision"}


def test_reading_it_changes_nothing_in_it(place: Workplace) -> None:
    place.json("show", OLD_RUN)
    place.lsi("export", OLD_RUN, "--to", place / "x.csv")
    kept, now = files_below(KEPT), files_below(place.folder(OLD_RUN))
    changed = {name for name in kept if now.get(name) != kept[name]}
    assert changed <= {"decisions.sqlite"}


def _labels(place: Workplace, content: dict[str, list[str]]) -> list[str]:
    return place.scores(OLD_RUN).set_index("sample_id")["label"][content["sample_ids"]].tolist()
