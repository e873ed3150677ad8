"""Blinded reading: ids that say nothing, an order of one's own, answers never lost; and the numbers that come of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

import lsi_engine
from lsi_engine.agreement.kappa import CANNOT_TELL, GIVEN, agreement, confusion, every_pair, pair, raters, to_adjudicate
from lsi_engine.curation.readings import Readings, Study
from lsi_engine.errors import InputError

IDS = [f"s{i:02}" for i in range(30)]
#: A process that reads every case of a study and names each after its reader.
READER = """
import sys
from pathlib import Path
from lsi_engine.curation.readings import Readings
readings, reader = Readings(Path(sys.argv[1])), sys.argv[2]
for case in readings.cases(readings.study("films"), reader, 1):
    readings.record(case.id, reader, token=reader + case.id)
"""


@pytest.fixture
def readings(tmp_path: Path) -> Readings:
    return Readings(tmp_path / "readings.sqlite")


@pytest.fixture
def study(readings: Readings) -> Study:
    return readings.create("films", IDS, seed=7, created_by="ann")


def read(readings: Readings, study: Study, reader: str, labels: dict[str, str], round: int = 1) -> None:
    for case in readings.cases(study, reader, round):
        readings.record(case.id, labels[case.sample_id], token=f"{reader}{round}{case.id}")


def test_ids_and_orders_differ_by_reader_and_round_and_stay(readings: Readings, study: Study) -> None:
    read(readings, study, "ann", dict.fromkeys(IDS, "cat"))
    lists = [readings.cases(study, "ann", 1), readings.cases(study, "ann", 2), readings.cases(study, "bob", 1)]
    assert all(sorted(case.sample_id for case in cases) == IDS for cases in lists)
    orders = {tuple(case.sample_id for case in cases) for cases in lists}
    assert len(orders) == 3
    ids = [case.id for cases in lists for case in cases]
    assert len(set(ids)) == 90
    assert not any(sample in case for sample in IDS for case in ids)
    again = Readings(readings.path).cases(study, "bob", 1)
    assert again == lists[2]
    assert readings.sample_of(again[0].id) == again[0].sample_id
    assert readings.sample_of("nobody") is None


def test_the_same_seed_gives_the_same_order_under_other_ids(readings: Readings, study: Study, tmp_path: Path) -> None:
    elsewhere = Readings(tmp_path / "other.sqlite")
    copy = elsewhere.create("films", IDS[::-1], seed=7, created_by="eve")
    mine, theirs = readings.cases(study, "ann", 1), elsewhere.cases(copy, "ann", 1)
    assert [case.sample_id for case in mine] == [case.sample_id for case in theirs]
    assert not {case.id for case in mine} & {case.id for case in theirs}


def test_a_second_reading_waits_for_the_first_and_answers_can_be_changed(readings: Readings, study: Study) -> None:
    with pytest.raises(InputError, match="not finished"):
        readings.cases(study, "ann", 2)
    first = readings.cases(study, "ann", 1)[0]
    for token, label in (("a", "cat"), ("b", "dog"), ("b", "owl")):
        readings.record(first.id, label, token=token, note="hm")
    assert readings.cases(study, "ann", 1)[0].label == "dog", "a token that is sent again changes nothing"
    assert readings.answers(study)["label"].tolist() == ["dog"]
    with sqlite3.connect(readings.path) as direct:
        assert direct.execute("SELECT COUNT(*) FROM answers").fetchone() == (2,)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            direct.execute("DELETE FROM answers")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            direct.execute("UPDATE cases SET sample_id = 's00'")


def test_wrong_studies_and_cases_are_named(readings: Readings, study: Study) -> None:
    with pytest.raises(InputError, match="called 'films' already"):
        readings.create("films", IDS, seed=0, created_by="ann")
    with pytest.raises(InputError, match="at least two samples"):
        readings.create("one", ["s00", "s00"], seed=0, created_by="ann")
    with pytest.raises(InputError, match="no case 'x'"):
        readings.record("x", "cat", token="t")
    with pytest.raises(InputError, match="no study 'y'"):
        readings.study("y")


def test_several_readers_at_once_lose_nothing(readings: Readings, study: Study) -> None:
    names = ["ann", "bob", "cyd", "dee"]
    command, root = [sys.executable, "-c", READER, str(readings.path)], Path(lsi_engine.__file__).parents[1]
    work = [subprocess.Popen([*command, name], cwd=root) for name in names]
    assert [one.wait(timeout=300) for one in work] == [0, 0, 0, 0]
    answers = readings.answers(study)
    assert answers.groupby("reader").size().to_dict() == dict.fromkeys(names, len(IDS))
    assert (answers["label"] == answers["reader"]).all()


labels = st.sampled_from(["cat", "dog", "owl"])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40))
def test_kappa_and_confusion_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = agreement(first, second, resamples=50)
    names = sorted({*first, *second})
    assert confusion(first, second).to_numpy().tolist() == confusion_matrix(first, second, labels=names).tolist()
    if len(names) == 1:
        assert np.isnan(found.kappa)
        return
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert found.observed == pytest.approx(np.mean([a == b for a, b in pairs]))


def test_the_interval_is_the_bootstraps_over_samples() -> None:
    random = np.random.default_rng(0)
    first = random.choice(["cat", "dog"], 80)
    second = np.where(random.uniform(size=80) < 0.8, first, "dog")
    found = agreement(first.tolist(), second.tolist())
    drawn = []
    for _ in range(1000):
        rows = random.integers(0, 80, 80)
        drawn.append(cohen_kappa_score(first[rows], second[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    assert found.low < found.kappa < found.high


def test_raters_pairs_and_what_is_left_to_adjudicate(readings: Readings, study: Study) -> None:
    truth = {sample: "cat" if i < 20 else "dog" for i, sample in enumerate(IDS)}
    read(readings, study, "ann", truth)
    read(readings, study, "bob", truth | {"s00": "dog", "s01": CANNOT_TELL, "s02": "owl"})
    read(readings, study, "ann", truth | {"s00": "dog"}, round=2)
    wide = raters(readings.answers(study), pd.Series(truth | {"s03": "owl"}))
    assert list(wide.columns) == ["ann", "ann, again", "bob", GIVEN]
    assert len(pair(wide, "ann", "bob")[0]) == 29, "a case nobody can tell is in no pair"
    table = every_pair(wide).set_index(["first", "second"])
    assert table.loc[("ann", "ann, again"), "observed"] == pytest.approx(29 / 30)
    assert table.loc[("ann", "bob"), "kappa"] == pytest.approx(cohen_kappa_score(*pair(wide, "ann", "bob")))
    disputed = to_adjudicate(wide)
    assert disputed.index.tolist() == ["s00", "s02", "s03"]
    assert disputed["votes"].tolist() == [2, 1, 1]
