"""The cleaned subset: what a rule keeps, drops and relabels, and that it adds up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stored_runs import make_scores

from lsi_engine.curation import CleaningRule, clean
from lsi_engine.curation.cleaning import FRAME_COLUMNS
from lsi_engine.curation.decisions import LATEST_COLUMNS
from lsi_engine.errors import InputError


def decided(*rows: tuple[str, str, str, str | None]) -> pd.DataFrame:
    """(sample id, given label, action, new label) as the log hands them out."""
    full = [(sample, action, new, "", "ann", 1, given, "2026-01-01") for sample, given, action, new in rows]
    frame = pd.DataFrame(full, columns=list(LATEST_COLUMNS))
    return frame.astype(dict.fromkeys(LATEST_COLUMNS, "str") | {"revision": "int64"})


MIXED = decided(
    ("s000", "cat", "keep", None),
    ("s001", "cat", "relabel", "dog"),
    ("s002", "cat", "drop", None),
    ("s007", "dog", "unsure", None),
)


def test_decisions_are_applied_and_everything_else_stays(scores: pd.DataFrame) -> None:
    subset = clean(scores, MIXED, CleaningRule())
    frame = subset.frame().set_index("sample_id")
    assert list(subset.frame().columns) == list(FRAME_COLUMNS)
    assert frame.loc["s001", ["given_label", "final_label", "action"]].tolist() == ["cat", "dog", "relabel"]
    assert frame.loc["s002", ["final_label", "action", "reason"]].tolist() == ["", "drop", "reviewed: drop"]
    assert frame.loc["s007", ["final_label", "action"]].tolist() == ["dog", "keep"]
    assert frame.loc["s015", "reason"] == "undecided"
    counts = subset.counts()
    assert counts.loc["cat"].to_dict() == {"kept": 5, "relabelled": 1, "dropped": 1, "final": 5}
    assert counts.loc["dog"].to_dict() == {"kept": 5, "relabelled": 0, "dropped": 0, "final": 6}
    assert subset.listed()["sample_id"].tolist() == [f"s{i:03}" for i in range(16) if i != 2]


def test_unsure_can_be_dropped_and_decisions_ignored(scores: pd.DataFrame) -> None:
    assert clean(scores, MIXED, CleaningRule(unsure="drop")).counts().loc["dog", "dropped"] == 1
    untouched = clean(scores, MIXED, CleaningRule(apply_decisions=False)).frame()
    assert (untouched["action"] == "keep").all()
    assert (untouched["given_label"] == untouched["final_label"]).all()


def test_suspicion_drops_undecided_samples_with_a_suggestion_only(scores: pd.DataFrame) -> None:
    scores.loc[:, "suspicion"] = 0.0
    scores.loc[[0, 3, 4], "suspicion"] = [0.99, 0.9, 0.95]
    scores["suggested_label"] = ["dog", None, None, "owl", None, *[None] * 11]
    frame = clean(scores, MIXED, CleaningRule(drop_suspicion=0.9)).frame().set_index("sample_id")
    assert frame.loc["s000", "action"] == "keep"  # a person said so
    assert frame.loc["s003", ["action", "reason"]].tolist() == ["drop", "suspicion: rather owl"]
    assert frame.loc["s004", "action"] == "keep"


def test_thinning_takes_the_asked_end_and_respects_reviewers(scores: pd.DataFrame) -> None:
    scores["lsi"] = np.arange(16.0)
    none = decided()
    high = clean(scores, none, CleaningRule(keep_fraction=0.5)).listed()
    assert high["index"].tolist() == [3, 4, 5, 6, 9, 10, 11, 14, 15]
    low = clean(scores, none, CleaningRule(keep_fraction=0.5, keep_end="lowest")).listed()
    assert low["index"].tolist() == [0, 1, 2, 3, 7, 8, 9, 12, 13]
    kept = decided(("s000", "cat", "keep", None), ("s012", "owl", "relabel", "cat"))
    some = clean(scores, kept, CleaningRule(keep_fraction=0.5)).listed()
    assert some["index"].tolist() == [0, 5, 6, 9, 10, 11, 12, 14, 15]


def test_a_tenth_of_thirty_is_three() -> None:
    subset = clean(make_scores(["cat"] * 30 + ["dog"] * 10), decided(), CleaningRule(keep_fraction=0.1))
    assert subset.counts()["kept"].to_dict() == {"cat": 3, "dog": 1}


def test_decisions_about_another_label_or_sample_are_named_not_applied(scores: pd.DataFrame) -> None:
    subset = clean(scores, decided(("s000", "owl", "drop", None), ("gone", "cat", "keep", None)), CleaningRule())
    assert subset.stale == ("s000",)
    assert subset.unknown == ("gone",)
    assert (subset.frame()["action"] == "keep").all()


def test_a_new_class_is_counted(scores: pd.DataFrame) -> None:
    counts = clean(scores, decided(("s000", "cat", "relabel", "yak")), CleaningRule()).counts()
    assert counts.loc["yak"].to_dict() == {"kept": 0, "relabelled": 0, "dropped": 0, "final": 1}


def test_wrong_input_is_refused(scores: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="suspicion"):
        clean(scores.drop(columns="suspicion"), MIXED, CleaningRule())
    with pytest.raises(ValidationError):
        CleaningRule(keep_fraction=1.5)


ACTION = st.sampled_from(["keep", "drop", "unsure", "relabel"])


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.sampled_from(["cat", "dog", "owl"]), min_size=1, max_size=40),
    acts=st.dictionaries(st.integers(0, 39), ACTION, max_size=15),
    rule=st.builds(
        CleaningRule,
        apply_decisions=st.booleans(),
        unsure=st.sampled_from(["keep", "drop"]),
        drop_suspicion=st.none() | st.floats(0, 1),
        keep_fraction=st.none() | st.floats(0.01, 1),
        keep_end=st.sampled_from(["highest", "lowest"]),
    ),
)
def test_nothing_appears_vanishes_or_contradicts_a_reviewer(
    labels: list[str], acts: dict[int, str], rule: CleaningRule
) -> None:
    scores = make_scores(labels)
    rows = [
        (f"s{i:03}", labels[i], action, "yak" if action == "relabel" else None)
        for i, action in acts.items()
        if i < len(labels)
    ]
    subset = clean(scores, decided(*rows), rule)
    frame, counts = subset.frame(), subset.counts()
    assert frame["index"].tolist() == list(range(len(labels)))
    assert counts[["kept", "relabelled", "dropped"]].sum().sum() == len(labels)
    assert counts["final"].sum() == len(subset.listed())
    assert ((frame["action"] == "drop") == (frame["final_label"] == "")).all()
    if rule.apply_decisions:
        for sample, _, action, _ in rows:
            outcome = frame.set_index("sample_id").loc[sample, "action"]
            wanted = {"unsure": rule.unsure}.get(action, action)
            assert outcome == wanted
