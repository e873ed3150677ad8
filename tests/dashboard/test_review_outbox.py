"""What becomes of the acts that the reviewing desk sends, however often it sends them."""

from pathlib import Path
from typing import Any

import pytest

from dashboard.desks.review.desk import record
from lsi_engine.curation import Decisions


@pytest.fixture
def log(tmp_path: Path) -> Decisions:
    return Decisions(tmp_path / "decisions.sqlite")


def act(token: str, sample_id: str, action: str = "keep", **changes: Any) -> dict[str, Any]:
    base = {"reviewer": "ann", "expected_revision": 0, "given_label": "cat", "new_label": None, "note": ""}
    return base | {"token": token, "sample_id": sample_id, "action": action} | changes


def test_an_outbox_sent_again_changes_nothing(log: Decisions) -> None:
    outbox = [act("1", "a"), act("2", "b", "relabel", new_label="dog", note="ears"), act("3", "", "undo")]
    first = record(log, outbox)
    again = record(log, outbox)
    assert first == again
    assert first.acknowledged == ["1", "2", "3"]
    assert first.decided == ["a", "b"]
    assert first.undone == "b"
    assert log.latest()["sample_id"].tolist() == ["a"]
    assert len(log.history("b")) == 2


def test_conflicts_and_refusals_are_acknowledged_and_told(log: Decisions) -> None:
    log.record("a", "drop", reviewer="bob", expected_revision=0, given_label="cat")
    outcome = record(
        log, [act("1", "a"), act("2", "b", "relabel", new_label="cat"), act("3", "c"), act("4", "d", "delete")]
    )
    assert outcome.acknowledged == ["1", "2", "3", "4"]
    assert outcome.decided == ["c"]
    assert outcome.conflicts[0]["sample_id"] == "a"
    assert "bob chose drop" in outcome.conflicts[0]["message"]
    assert len(outcome.refused) == 2
    assert log.latest()["action"].tolist() == ["drop", "keep"]


def test_undo_with_nothing_to_undo_says_so(log: Decisions) -> None:
    outcome = record(log, [act("1", "", "undo")])
    assert outcome.nothing_to_undo
    assert outcome.undone is None
