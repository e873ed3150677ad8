"""Exported files: the same bytes for the same rule, and everything can be read back."""

import io
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import make_run, make_scores
from torch.utils.data import Subset, TensorDataset

from lsi_engine.curation import CleaningRule, Decisions, clean, export_bytes, read_export, write_export
from lsi_engine.curation.export import Format
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run, RunStore

HOSTILE = [
    "=HYPERLINK(1)",
    "+cmd",
    "-1",
    "@SUM",
    "'=x",
    "a,b",
    'q"q',
    "two\nlines",
    "tab\t",
    "NaN",
    "",
    "ä→日",
    "-x",
    "\r",
]

#: Formats that `read_export` reads back.
LISTING = ("csv", "json", "parquet", "indices")


def decide(run: Run) -> Decisions:
    log = Decisions(run.decisions_path)
    log.record("s000", "relabel", new_label="owl", reviewer="ann", expected_revision=0, given_label="cat")
    log.record("s002", "drop", reviewer="ann", expected_revision=0, given_label="cat")
    return log


@pytest.mark.parametrize("format", LISTING)
@pytest.mark.parametrize("rule", [CleaningRule(), CleaningRule(keep_fraction=0.5, list_dropped=True)])
def test_round_trip_with_provenance(run: Run, format: Format, rule: CleaningRule, tmp_path: Path) -> None:
    log = decide(run)
    subset = clean(run.scores(), log.latest(), rule)
    path = write_export(subset, run, format, tmp_path / "deep" / "out")
    frame, origin = read_export(path)
    expected = subset.listed()
    if format == "indices":
        expected = expected[expected["action"] != "drop"].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, expected[list(frame.columns)])
    assert origin["run"] == "trial"
    assert origin["scores_fingerprint"] == "f00d"
    assert origin["decisions"] == log.digest()
    assert CleaningRule(**origin["rule"]) == rule
    assert origin["total"]["relabelled"] == 1
    assert sum(origin["total"].values()) == len(run.scores())


@pytest.mark.parametrize("format", LISTING)
def test_equal_decisions_made_differently_give_equal_bytes(run: Run, format: Format, tmp_path: Path) -> None:
    decide(run)
    first = export_bytes(clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule()), run, format)
    other = Decisions(tmp_path / "other.sqlite")
    other.record("s002", "keep", reviewer="bob", expected_revision=0, given_label="cat")
    other.record("s002", "drop", reviewer="bob", expected_revision=1, given_label="cat")
    other.record("s000", "relabel", new_label="owl", reviewer="b", note="!", expected_revision=0, given_label="cat")
    again = clean(run.scores(), other.latest(), CleaningRule())
    assert export_bytes(again, run, format) == first
    assert export_bytes(clean(run.scores(), other.latest(), CleaningRule(unsure="drop")), run, format) != first


def test_the_table_opens_with_pandas_alone(run: Run, tmp_path: Path) -> None:
    subset = clean(run.scores(), decide(run).latest(), CleaningRule())
    csv = pd.read_csv(write_export(subset, run, "csv", tmp_path / "a.csv"))
    parquet = pd.read_parquet(write_export(subset, run, "parquet", tmp_path / "a.parquet"))
    assert csv["final_label"].tolist() == parquet["final_label"].tolist() == subset.listed()["final_label"].tolist()
    assert json.loads(csv.loc[0, "provenance"])["run"] == "trial"
    assert b"lsi_provenance" in pq.read_schema(tmp_path / "a.parquet").metadata


def test_the_index_list_drives_a_torch_subset(run: Run, tmp_path: Path) -> None:
    subset = clean(run.scores(), decide(run).latest(), CleaningRule())
    content = json.loads(write_export(subset, run, "indices", tmp_path / "a.json").read_text())
    chosen = Subset(TensorDataset(torch.arange(16)), content["indices"])
    assert [int(chosen[i][0]) for i in range(len(chosen))] == [i for i in range(16) if i != 2]
    assert content["final_labels"][:2] == ["owl", "cat"]


def test_no_csv_cell_starts_a_formula(tmp_path: Path) -> None:
    run = make_run(RunStore(tmp_path), make_scores(["=cat", "-1"] * 7, HOSTILE))
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule())
    path = write_export(subset, run, "csv", tmp_path / "a.csv")
    cells = pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="provenance").to_numpy().ravel()
    assert {cell for cell in cells if cell[:1] in tuple("=+-@\t\r")} == {"-1"}
    assert read_export(path)[0]["name"].tolist() == HOSTILE


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
        | st.sampled_from(HOSTILE),
        min_size=2,
        max_size=8,
    ),
    format=st.sampled_from(["csv", "json", "parquet"]),
)
def test_any_name_survives(names: list[str], format: Format, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("names")
    run = make_run(RunStore(folder), make_scores(names, names))
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule())
    frame, _ = read_export(write_export(subset, run, format, folder / "out"))
    pd.testing.assert_frame_equal(frame, subset.listed())


def test_wrong_files_formats_and_empty_subsets_are_named(run: Run, tmp_path: Path) -> None:
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule(drop_suspicion=0))
    with pytest.raises(InputError, match="excel"):
        export_bytes(subset, run, "excel")  # type: ignore[arg-type]
    for content in (b"", b"{}", b"PAR1", b"a,b\n1,2\n"):
        path = tmp_path / "other"
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not an export"):
            read_export(path)
    doubtful = run.scores().assign(suggested_label="yak")
    nothing = clean(doubtful, Decisions(run.decisions_path).latest(), CleaningRule(drop_suspicion=0))
    with pytest.raises(InputError, match="keeps no sample"):
        export_bytes(nothing, run, "csv")


@pytest.mark.parametrize("note", HOSTILE)
def test_the_issues_say_who_decided_what_and_why(tmp_path: Path, note: str) -> None:
    scores = make_scores(["cat", "owl"] * 7)
    scores = scores.assign(loo_probability=0.5, loo_predicted_label="cat")
    run = make_run(RunStore(tmp_path), scores)
    log = Decisions(run.decisions_path)
    log.record("s000", "relabel", new_label="owl", reviewer="=ann", note=note, expected_revision=0, given_label="cat")
    log.record("s001", "drop", reviewer="bob", expected_revision=0, given_label="owl")
    log.undo("bob")
    path = write_export(clean(run.scores(), log.latest(), CleaningRule()), run, "cleanlab", tmp_path / "issues.csv")
    issues = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("sample_id")
    assert len(issues) == len(scores)
    first = issues.loc["s000", ["decision", "new_label", "reviewer", "note"]].tolist()
    guarded = note if note in ("-1", "a,b", 'q"q', "two\nlines", "tab\t", "NaN", "", "ä→日") else "'" + note
    assert first == ["relabel", "owl", "'=ann", guarded]
    assert (issues.drop(index="s000")[["decision", "new_label", "reviewer", "note"]] == "").to_numpy().all()


def test_what_a_rule_thins_away_is_no_label_issue(tmp_path: Path) -> None:
    scores = make_scores(["cat", "owl"] * 20).assign(loo_probability=0.5, loo_predicted_label="cat")
    run = make_run(RunStore(tmp_path), scores)
    log = Decisions(run.decisions_path)
    doubted = scores.loc[(scores["suspicion"] > 0.5) & scores["suggested_label"].notna()]
    plain = scores.loc[~scores["sample_id"].isin(doubted["sample_id"])]
    kept, dropped = doubted.iloc[0], plain.iloc[0]
    log.record(kept["sample_id"], "keep", reviewer="ann", expected_revision=0, given_label=kept["label"])
    log.record(dropped["sample_id"], "drop", reviewer="ann", expected_revision=0, given_label=dropped["label"])
    subset = clean(scores, log.latest(), CleaningRule(keep_fraction=0.1))
    assert (subset.frame()["action"] == "drop").sum() > 30
    issues = pd.read_csv(io.BytesIO(export_bytes(subset, run, "cleanlab"))).set_index("sample_id")["is_label_issue"]
    wanted = {*doubted["sample_id"], dropped["sample_id"]} - {kept["sample_id"]}
    assert set(issues.index[issues]) == wanted


def test_the_issues_of_pairs_name_the_better_pair(tmp_path: Path) -> None:
    scores = make_scores(["all pairs"] * 4).assign(
        loo_probability=0.1, suggested_pair=["s001", None, "s003", None], suspicion=[0.9, 0.1, 0.9, 0.1]
    )
    run = make_run(RunStore(tmp_path), scores)
    path = write_export(
        clean(scores, Decisions(run.decisions_path).latest(), CleaningRule()), run, "cleanlab", tmp_path / "i"
    )
    issues = pd.read_csv(path, keep_default_na=False)
    assert issues["predicted_label"].tolist() == ["s001", "", "s003", ""]
