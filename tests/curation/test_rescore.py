"""A round of review applied: real runs scored again, their labels, their log, and what the round changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lsi_engine import score
from lsi_engine.curation import CleaningRule, Decision, Decisions, clean
from lsi_engine.curation.rescore import next_name, pending, rescore
from lsi_engine.curation.rounds import round_changes, suspected
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Three blobs, a tenth of whose labels are wrong, and a fourth class of three samples."""
    random = np.random.default_rng(0)
    truth = np.r_[np.repeat(["ant", "bee", "cat"], 40), ["dog"] * 3]
    centres = {name: random.normal(size=8) * 3 for name in ("ant", "bee", "cat", "dog")}
    features = np.stack([centres[name] + random.normal(size=8) for name in truth]).astype(np.float32)
    np.savez(tmp_path / "blobs.npz", features=features, labels=truth)
    store = RunStore(tmp_path / "cache")
    flips = [{"kind": "flip_labels", "rate": 0.1, "seed": 3}]
    source = {"kind": "feature_file", "path": str(tmp_path / "blobs.npz")}
    compute(RunConfig(name="blobs", source=source, corruption=flips), store)
    return store


def decide(run: Run, sample_id: str, action: str, new_label: str | None = None, reviewer: str = "ann") -> None:
    given = run.scores().set_index("sample_id").loc[sample_id, "label"]
    log = Decisions(run.decisions_path)
    seen = log.revisions().get(sample_id, 0)
    assert not log.record_all([Decision(sample_id, action, reviewer, seen, given, new_label, "why")])  # type: ignore[arg-type]


def wrong(run: Run) -> pd.DataFrame:
    scores = run.scores()
    return scores[scores["corrupted"]]


def review(run: Run) -> tuple[list[str], str]:
    """Put every wrong label right but the first, which is dropped; keep one good sample."""
    first, *others = wrong(run).itertuples()
    decide(run, first.sample_id, "drop")
    for one in others:
        decide(run, one.sample_id, "relabel", one.true_label)
    good = run.scores().query("not corrupted")["sample_id"].iloc[0]
    decide(run, good, "keep", reviewer="bob")
    return [one.sample_id for one in others], first.sample_id


def test_the_new_run_is_what_scoring_the_corrected_data_gives(store: RunStore, tmp_path: Path) -> None:
    run = store.open("blobs")
    relabelled, dropped = review(run)
    before = (run.path / "scores.parquet").read_bytes(), Decisions(run.decisions_path).version()
    made = rescore(run, store)
    assert (made.name, made.config.derived_from) == ("blobs-r2", "blobs")
    assert made.config.decisions == Decisions(run.decisions_path).digest()
    assert before == ((run.path / "scores.parquet").read_bytes(), Decisions(run.decisions_path).version())

    scores = made.scores()
    assert dropped not in set(scores["sample_id"])
    assert not scores["corrupted"].any()
    with np.load(tmp_path / "blobs.npz", allow_pickle=False) as stored:
        rows = scores["position"].to_numpy()
        expected = score(stored["features"][rows], stored["labels"][rows], feature_scaling="standardize")
    np.testing.assert_allclose(scores["lsi"], expected.lsi, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(scores["suspicion"], expected.suspicion, rtol=1e-6, atol=1e-12)
    assert set(made.skipped()["reason"]) == {"dropped by ann in run blobs"}
    assert len(relabelled) + 1 == len(wrong(run))


def test_a_warm_start_takes_fewer_steps(store: RunStore) -> None:
    run = store.open("blobs")
    decide(run, wrong(run)["sample_id"].iloc[0], "drop")
    made = rescore(run, store)
    assert made.provenance["engine"]["newton_steps"] < run.provenance["engine"]["newton_steps"]


def test_the_log_is_carried_over_and_does_not_ask_again(store: RunStore) -> None:
    run = store.open("blobs")
    relabelled, _ = review(run)
    made = rescore(run, store)
    log = Decisions(made.decisions_path)
    pd.testing.assert_frame_equal(log.latest(), Decisions(run.decisions_path).latest())
    event = log.history(relabelled[0])[0]
    assert (event["reviewer"], event["note"], event["carried_from"]) == ("ann", "why", "blobs")
    assert log.undo("ann") is None, "what the run's labels already follow is not undone here"
    with sqlite3.connect(made.decisions_path) as direct, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        direct.execute("DELETE FROM events")

    subset = clean(made.scores(), log.latest(), CleaningRule())
    assert (subset.stale, subset.unknown) == ((), ())
    frame = subset.frame().set_index("sample_id")
    row = run.scores().set_index("sample_id").loc[relabelled[0]]
    exported = frame.loc[relabelled[0], ["given_label", "final_label", "action"]].tolist()
    assert exported == [row["label"], row["true_label"], "relabel"]
    first = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule()).listed()
    pd.testing.assert_frame_equal(subset.listed(), first)
    assert pending(made.scores(), log.latest()) == (0, 0)
    with pytest.raises(InputError, match="changes what was scored"):
        rescore(made, store)


def test_a_second_round_goes_on_from_the_first(store: RunStore) -> None:
    run = store.open("blobs")
    first, second, *_ = wrong(run)["sample_id"]
    decide(run, first, "drop")
    made = rescore(run, store)
    decide(made, second, "relabel", "elk")  # a class that was not there
    assert pending(made.scores(), Decisions(made.decisions_path).latest()) == (1, 0)
    third = rescore(made, store)
    assert third.name == "blobs-r3"
    assert third.classes == ["ant", "bee", "cat", "dog", "elk"]
    assert len(third.scores()) == len(run.scores()) - 1
    history = Decisions(third.decisions_path).history
    assert (history(first)[0]["carried_from"], history(second)[0]["carried_from"]) == ("blobs", "blobs-r2")
    decide(third, second, "relabel", "ant")
    assert rescore(third, store).classes == ["ant", "bee", "cat", "dog"]


def test_a_class_may_go_but_not_the_last_but_one(store: RunStore) -> None:
    run = store.open("blobs")
    for one in run.scores().query("label == 'dog'").itertuples():
        decide(run, one.sample_id, "relabel", "cat")
    made = rescore(run, store)
    assert made.classes == ["ant", "bee", "cat"]
    assert made.probabilities().shape == (len(run.scores()), 3)
    for one in made.scores().query("label != 'ant'").itertuples():
        decide(made, one.sample_id, "drop")
    with pytest.raises(InputError, match="at least two classes"):
        rescore(made, store)
    assert not (store.path("blobs-r3")).exists()


def test_nothing_to_apply_names_taken_and_logs_of_the_first_version(store: RunStore) -> None:
    run = store.open("blobs")
    with pytest.raises(InputError, match="relabel or drop at least one"):
        rescore(run, store)
    decide(run, wrong(run)["sample_id"].iloc[0], "drop")
    with pytest.raises(InputError, match="exists"):
        rescore(run, store, name="blobs")
    with pytest.raises(InputError, match="use `lsi rescore`"):
        compute(RunConfig(name="x", source={"kind": "digits"}, derived_from="blobs"), store)
    # A log as the first version of the program wrote it.
    Decisions(run.decisions_path).close()
    with sqlite3.connect(run.decisions_path) as direct:
        direct.execute("DROP TABLE carried")
        direct.execute("PRAGMA user_version = 1")
    direct.close()
    assert rescore(run, store).name == "blobs-r2"
    assert next_name(run, store) == "blobs-r3"


def test_the_changes_add_up(store: RunStore) -> None:
    run = store.open("blobs")
    relabelled, _ = review(run)
    made = rescore(run, store)
    before, after, decided = run.scores(), made.scores(), Decisions(made.decisions_path).latest()
    changes = round_changes(before, after, decided)
    assert (changes.relabelled, changes.dropped) == (len(relabelled), 1)
    assert changes.suspects_before == int(suspected(before).sum())
    assert changes.suspects_after == int(suspected(after).sum())
    assert set(changes.new_suspects) <= set(changes.waiting)
    assert changes.finished == (not changes.waiting)
    assert changes.tail_after <= changes.tail_before
    assert not set(changes.waiting) & set(decided["sample_id"])
    same = round_changes(before, before, decided.iloc[:0])
    assert (same.relabelled, same.dropped, same.settled, same.new_suspects) == (0, 0, [], [])
    assert same.entered == same.left == {"lsi": [], "suspicion": []}
    worse = before.assign(suspicion=1.0, suggested_label="ant")
    assert set(round_changes(before, worse, decided.iloc[:0]).waiting) == set(before["sample_id"])
