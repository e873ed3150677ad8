"""Who disagrees with whom, and when that is settled."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsi_engine.curation import Decisions
from lsi_engine.curation.disputes import disputes
from lsi_engine.curation.readings import Readings


@pytest.fixture
def files(tmp_path: Path) -> tuple[Decisions, Readings]:
    return Decisions(tmp_path / "decisions.sqlite"), Readings(tmp_path / "readings.sqlite")


GIVEN = pd.Series(["cat", "cat", "dog", "dog"], index=["a", "b", "c", "d"])


def decide(log: Decisions, sample: str, reviewer: str, action: str) -> None:
    log.record(
        sample,
        action,
        reviewer=reviewer,
        expected_revision=log.revisions().get(sample, 0),
        given_label=GIVEN[sample],  # type: ignore[arg-type]
    )


def test_two_reviewers_dispute_and_a_third_word_settles(files: tuple[Decisions, Readings]) -> None:
    log, readings = files
    assert disputes(log, readings, GIVEN).empty
    decide(log, "a", "ann", "keep")
    decide(log, "a", "ann", "drop")  # her own second thought
    decide(log, "b", "ann", "keep")
    decide(log, "b", "bob", "keep")  # of one mind
    assert disputes(log, readings, GIVEN).empty
    decide(log, "c", "ann", "keep")
    decide(log, "c", "bob", "drop")
    assert disputes(log, readings, GIVEN).to_dict() == {"c": True}
    decide(log, "c", "eve", "drop")
    assert disputes(log, readings, GIVEN).to_dict() == {"c": False}
    decide(log, "c", "ann", "keep")
    assert disputes(log, readings, GIVEN).to_dict() == {"c": True}
    assert log.undo("ann") == "c"
    assert disputes(log, readings, GIVEN).to_dict() == {"c": False}


def test_readings_count_once_everybody_has_finished_and_a_decision_settles(files: tuple[Decisions, Readings]) -> None:
    log, readings = files
    study = readings.create("blind", list(GIVEN.index), seed=0, created_by="ann")
    answers = {"ann": "cat cat dog dog", "bob": "cat cat dog cat"}
    for reader, labels in answers.items():
        wanted = dict(zip(GIVEN.index, labels.split(), strict=True))
        for place, case in enumerate(readings.cases(study, reader, 1)):
            assert disputes(log, readings, GIVEN).empty or place == 0
            readings.record(case.id, wanted[case.sample_id], token=f"{reader}{place}")
    assert disputes(log, readings, GIVEN).to_dict() == {"d": True}
    decide(log, "d", "eve", "keep")
    assert disputes(log, readings, GIVEN).to_dict() == {"d": False}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ann", "bob", "eve"]), st.sampled_from(["keep", "drop"])), max_size=8))
def test_an_open_dispute_ends_with_two_who_differ(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = Decisions(folder / "decisions.sqlite")
    for reviewer, action in acts:
        decide(log, "a", reviewer, action)
    found = disputes(log, Readings(folder / "readings.sqlite"), GIVEN)
    if len({reviewer for reviewer, _ in acts}) < 2 or len({action for _, action in acts}) < 2:
        assert found.empty
    if found.get("a", False):
        (one, first), (other, second) = acts[-2:]
        assert one != other
        assert first != second
    log.close()
