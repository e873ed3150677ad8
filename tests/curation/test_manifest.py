"""A manifest opened again: read strictly, compared honestly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import make_run, make_scores

from dashboard.components.export.rule import controls_of, rule_of
from lsi_engine.curation import CleaningRule, Decisions, clean, export_bytes, write_export
from lsi_engine.curation.manifest import LARGEST, Manifest, differences, read_manifest, repeated
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run, RunStore

RULE = CleaningRule(keep_fraction=0.5, keep_end="lowest")


def subset(run: Run, rule: CleaningRule = RULE):
    return clean(run.scores(), Decisions(run.decisions_path).latest(), rule)


@pytest.mark.parametrize("format", ["manifest", "json", "indices"])
def test_the_same_subset_is_recognised_and_every_change_named(run: Run, tmp_path: Path, format: Any) -> None:
    manifest = read_manifest(export_bytes(subset(run), run, format), "m.json")
    assert (manifest.run, manifest.rule, manifest.kept) == (run.name, RULE, subset(run).digest)
    assert differences(manifest, subset(run), run) == []
    path = write_export(subset(run), run, format, tmp_path / "m.json")
    assert repeated(path, run, tmp_path).frame().equals(subset(run).frame())

    named = [one.what for one in differences(manifest, subset(run, CleaningRule(keep_fraction=0.6)), run)]
    assert named == ["rule: keep fraction", "rule: keep end", "samples kept"]
    Decisions(run.decisions_path).record(
        "s000", "relabel", new_label="owl", reviewer="ann", expected_revision=0, given_label="cat"
    )
    assert [one.what for one in differences(manifest, subset(run), run)] == ["decisions", "samples kept"]
    other = make_run(RunStore(tmp_path / "more"), make_scores(["cat"] * 9, seed=5), "other", "beef")
    (difference, *_) = differences(manifest, subset(other), other)
    assert (difference.then, difference.now) == ("trial (f00d)", "other (beef)")


def test_what_is_no_manifest_is_refused_by_name(run: Run) -> None:
    raw = export_bytes(subset(run), run, "indices")
    content = json.loads(raw)
    origin = content["provenance"]

    def with_origin(**change: Any) -> bytes:
        return json.dumps({"provenance": origin | change}).encode()

    for wrong, said in (
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"provenance": {}, "provenance": {}}', "a key occurs twice"),
        (b'{"provenance": {"version": NaN}}', "NaN is no number"),
        (b"[]", "no 'provenance'"),
        (b" " * (LARGEST + 1), "at most 16 MB"),
        (with_origin(surprise=1), "surprise"),
        (with_origin(run=7), "run: Input should be a valid string"),
        (with_origin(rule=origin["rule"] | {"keep_fraction": 2}), "rule.keep_fraction"),
        (with_origin(rule=origin["rule"] | {"keep_end": "<b>"}), "rule.keep_end"),
        (with_origin(program="other"), "program"),
        (json.dumps(content | {"indices": content["indices"][::-1]}).encode(), "it was edited"),
        (json.dumps({"provenance": origin, "samples": "no"}).encode(), "not an export"),
    ):
        with pytest.raises(InputError, match=r"m\.json") as refused:
            read_manifest(wrong, "m.json")
        assert said in str(refused.value)


def test_files_of_before_the_digest_are_compared_by_their_list(run: Run) -> None:
    content = json.loads(export_bytes(subset(run), run, "indices"))
    del content["provenance"]["kept"]
    manifest = read_manifest(json.dumps(content).encode(), "old.json")
    assert differences(manifest, subset(run), run) == []
    bare = read_manifest(json.dumps({"provenance": content["provenance"]}).encode(), "bare.json")
    assert bare.kept is None
    assert Manifest.model_validate_json(bare.model_dump_json()) == bare


@given(
    percent=st.integers(1, 100),
    suspicion=st.integers(0, 100),
    parts=st.tuples(st.integers(0, 49), st.integers(0, 49)),
    seed=st.integers(0, 2**31 - 1),
    flags=st.lists(st.booleans(), min_size=4, max_size=4),
    asked=st.tuples(st.booleans(), st.booleans()),
)
def test_the_controls_show_what_they_can_ask_for(
    percent: int, suspicion: int, parts: tuple[int, int], seed: int, flags: list[bool], asked: tuple[bool, bool]
) -> None:
    rule = CleaningRule(
        apply_decisions=flags[0],
        deduplicate=flags[1],
        balance=flags[2],
        list_dropped=flags[3],
        keep_fraction=percent / 100 if asked[0] else None,
        drop_suspicion=suspicion / 100 if asked[1] else None,
        validation=parts[0] / 100,
        test=parts[1] / 100,
        seed=seed,
    )
    assert rule_of(controls_of(rule)) == rule


def test_controls_stand_nearest_to_what_they_cannot_show() -> None:
    rule = CleaningRule(keep_fraction=0.3333, drop_suspicion=1.5, validation=0.9)
    assert rule_of(controls_of(rule)) == CleaningRule(keep_fraction=0.33, drop_suspicion=1.0, validation=0.49)
