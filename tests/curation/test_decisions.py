"""The review log: nothing is lost, nothing is overwritten silently, everything can be withdrawn."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsi_engine
from lsi_engine.curation.decisions import ACTIONS, Conflict, Decision, Decisions, digest
from lsi_engine.errors import InputError

WRITER = """
import sys
from pathlib import Path
from lsi_engine.curation.decisions import Decisions
path, reviewer, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = Decisions(path)
for i in range(count):
    log.record(f"{reviewer}-{i}", "keep", reviewer=reviewer, expected_revision=0, given_label="cat")
    if count > 10_000:
        print(i, flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Decisions:
    return Decisions(tmp_path / "decisions.sqlite")


def start_writer(path: Path, reviewer: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), reviewer, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(lsi_engine.__file__).parents[1],
    )


def test_reading_an_empty_log_creates_no_file(log: Decisions) -> None:
    assert log.latest().empty
    assert log.history("a") == []
    assert log.revisions() == {}
    assert log.counts() == dict.fromkeys(ACTIONS, 0)
    assert not log.path.exists()


def test_latest_holds_the_newest_decision_of_each_sample(log: Decisions) -> None:
    assert log.record("a", "keep", reviewer="ann", expected_revision=0, given_label="cat") == 1
    assert (
        log.record("a", "relabel", new_label="dog", note="tail", reviewer="bob", expected_revision=1, given_label="cat")
        == 2
    )
    log.record("b", "drop", reviewer="ann", expected_revision=0, given_label="dog")
    latest = log.latest().set_index("sample_id")
    assert latest.loc["a", ["action", "new_label", "note", "reviewer"]].tolist() == ["relabel", "dog", "tail", "bob"]
    assert latest.loc["a", "revision"] == 2
    assert latest.loc["b", "action"] == "drop"
    assert log.counts() == {"keep": 0, "relabel": 1, "drop": 1, "unsure": 0}
    assert [event["action"] for event in log.history("a")] == ["keep", "relabel"]


def test_a_decision_on_a_stale_view_is_refused_and_names_who_decided(log: Decisions) -> None:
    log.record("a", "drop", reviewer="ann", expected_revision=0, given_label="cat")
    with pytest.raises(Conflict, match=r"ann chose drop at 20\d\d-") as caught:
        log.record("a", "keep", reviewer="bob", expected_revision=0, given_label="cat")
    assert caught.value.revision == 1
    assert caught.value.current is not None
    assert caught.value.current["reviewer"] == "ann"
    assert log.latest()["action"].tolist() == ["drop"]
    with pytest.raises(Conflict, match="no decision"):
        log.record("never seen", "keep", reviewer="bob", expected_revision=3, given_label="cat")


def test_the_same_token_decides_once(log: Decisions) -> None:
    arguments = {"reviewer": "ann", "expected_revision": 0, "given_label": "cat", "token": "click"}
    assert log.record("a", "keep", **arguments) == 1
    assert log.record("a", "keep", **arguments) == 1
    assert len(log.history("a")) == 1
    with pytest.raises(InputError, match="another sample"):
        log.record("b", "keep", **arguments)
    assert log.undo("ann", token="z") == "a"
    assert log.undo("ann", token="z") == "a"
    assert len(log.history("a")) == 2


def test_undo_reaches_back_to_any_depth_and_restores_what_stood(log: Decisions) -> None:
    log.record("a", "keep", reviewer="ann", expected_revision=0, given_label="cat")
    log.record("b", "drop", reviewer="ann", expected_revision=0, given_label="cat")
    log.record("a", "unsure", reviewer="ann", expected_revision=1, given_label="cat")
    log.record("c", "drop", reviewer="bob", expected_revision=0, given_label="cat")
    assert log.undo("ann") == "a"
    assert log.latest().set_index("sample_id")["action"].to_dict() == {"a": "keep", "b": "drop", "c": "drop"}
    assert log.undo("ann") == "b"
    assert log.undo("ann") == "a"
    assert log.undo("ann") is None
    assert log.latest()["sample_id"].tolist() == ["c"]
    assert log.revisions() == {"a": 4, "b": 2, "c": 1}
    assert [event["withdrawn"] for event in log.history("a")] == [True, True, False, False]
    assert log.record("a", "drop", reviewer="ann", expected_revision=4, given_label="cat") == 5


def test_undoing_an_overruled_decision_leaves_the_colleagues_standing(log: Decisions) -> None:
    log.record("a", "keep", reviewer="ann", expected_revision=0, given_label="cat")
    log.record("a", "drop", reviewer="bob", expected_revision=1, given_label="cat")
    assert log.undo("ann") == "a"
    assert log.latest()["action"].tolist() == ["drop"]
    assert log.undo("bob") == "a"
    assert log.latest().empty


def test_bulk_leaves_out_and_returns_the_conflicts(log: Decisions) -> None:
    log.record("b", "drop", reviewer="ann", expected_revision=0, given_label="cat")
    conflicts = log.record_all([Decision(name, "keep", "bob", 0, "cat") for name in "abc"])
    assert [conflict.sample_id for conflict in conflicts] == ["b"]
    assert log.latest().set_index("sample_id")["action"].to_dict() == {"a": "keep", "b": "drop", "c": "keep"}


def test_a_bulk_decision_is_withdrawn_as_a_whole(log: Decisions) -> None:
    log.record("a", "drop", reviewer="bob", expected_revision=0, given_label="cat")
    bulk = [Decision(name, "keep", "bob", name == "a", "cat") for name in "abc"]
    assert log.record_all(bulk) == []
    assert log.withdraw("ann", [decision.token for decision in bulk]) == 0
    assert log.withdraw("bob", [decision.token for decision in bulk]) == 3
    assert log.withdraw("bob", [decision.token for decision in bulk]) == 0
    assert log.latest()[["sample_id", "action"]].to_numpy().tolist() == [["a", "drop"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": "delete"}, "no decision"),
        ({"reviewer": "  "}, "reviewer's name"),
        ({"action": "relabel"}, "takes a new label"),
        ({"new_label": "dog"}, "takes a new label"),
        ({"action": "relabel", "new_label": "cat"}, "use 'keep'"),
        ({"sample_id": ""}, "sample id"),
    ],
)
def test_meaningless_decisions_are_refused(log: Decisions, change: dict[str, str], message: str) -> None:
    decision = {
        "sample_id": "a",
        "action": "keep",
        "reviewer": "ann",
        "expected_revision": 0,
        "given_label": "cat",
    }
    with pytest.raises(InputError, match=message):
        log.record(**(decision | change))  # type: ignore[arg-type]
    assert log.latest().empty


def test_the_log_itself_refuses_changes(log: Decisions) -> None:
    log.record("a", "keep", reviewer="ann", expected_revision=0, given_label="cat")
    with sqlite3.connect(log.path) as connection:
        for statement in ("DELETE FROM events", "UPDATE events SET action = 'drop'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_another_file_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "decisions.sqlite"
    path.write_bytes(b"this is a text, not a database " * 100)
    with pytest.raises(InputError, match=r"decisions\.sqlite is not a review log"):
        Decisions(path).latest()


def test_digest_depends_on_what_stands_alone(tmp_path: Path) -> None:
    one, two = Decisions(tmp_path / "one"), Decisions(tmp_path / "two")
    one.record("a", "keep", reviewer="ann", expected_revision=0, given_label="cat")
    one.record("b", "drop", reviewer="ann", expected_revision=0, given_label="cat")
    two.record("b", "keep", reviewer="bob", expected_revision=0, given_label="cat")
    assert one.digest() != two.digest()
    two.undo("bob")
    two.record("b", "drop", note="blurred", reviewer="bob", expected_revision=2, given_label="cat")
    two.record("a", "keep", reviewer="bob", expected_revision=0, given_label="cat")
    assert one.digest() == two.digest() == digest(one.latest().iloc[::-1])


def test_four_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "decisions.sqlite"
    writers = [start_writer(path, f"reader{i}", 2500) for i in range(4)]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0, 0, 0]
    latest = Decisions(path).latest()
    assert set(latest["sample_id"]) == {f"reader{i}-{n}" for i in range(4) for n in range(2500)}


def test_killing_a_writer_loses_nothing_it_was_told_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "decisions.sqlite"
    writer = start_writer(path, "ann", 1_000_000)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 200:
            break
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = int((writer.stdout.read().split() or ["200"])[-1])
    writer.wait()
    log = Decisions(path)
    saved = set(log.latest()["sample_id"])
    assert {f"ann-{i}" for i in range(acknowledged + 1)} <= saved
    assert log.record("after", "keep", reviewer="ann", expected_revision=0, given_label="cat") == 1


def test_of_many_simultaneous_decisions_on_one_sample_exactly_one_wins(log: Decisions) -> None:
    def decide(number: int) -> bool:
        try:
            Decisions(log.path).record("a", "keep", reviewer=f"r{number}", expected_revision=0, given_label="cat")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(decide, range(24))) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["keep", "drop", "unsure", "undo"])),
        max_size=25,
    )
)
def test_what_stands_is_what_a_list_of_acts_says(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, str]]
) -> None:
    log = Decisions(tmp_path_factory.mktemp("log") / "decisions.sqlite")
    standing: list[tuple[str, str, str]] = []
    events = dict.fromkeys("xyz", 0)
    for reviewer, sample, action in acts:
        if action == "undo":
            mine = [act for act in standing if act[0] == reviewer]
            if mine:
                newest = len(standing) - 1 - standing[::-1].index(mine[-1])
                withdrawn = standing.pop(newest)
                events[withdrawn[1]] += 1
            assert log.undo(reviewer) == (mine[-1][1] if mine else None)
        else:
            log.record(sample, action, reviewer=reviewer, expected_revision=events[sample], given_label="cat")  # type: ignore[arg-type]
            events[sample] += 1
            standing.append((reviewer, sample, action))
    expected = {sample: action for _, sample, action in standing}
    assert log.latest().set_index("sample_id")["action"].to_dict() == expected
    assert log.revisions() == {sample: count for sample, count in events.items() if count}
    log.close()
