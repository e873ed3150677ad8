"""What waits for a reviewer, and in which order: worked out from a real run without a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.data import RunData, decisions, open_run
from dashboard.desks.review.queue import queues, waiting
from dashboard.view.selection import Selection
from dashboard.view.view import DECISIONS, View
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunData:
    """Sixty overlapping samples in two classes, the first thirty of ten patients, three each."""
    random = np.random.default_rng(1)
    features = random.normal(size=(60, 4)).astype(np.float32)
    labels = np.where(features[:, 0] + 0.8 * random.normal(size=60) > 0, "sick", "well")
    groups = [f"p{i % 10}" if i < 30 else "" for i in range(60)]
    np.savez(tmp_path / "rows.npz", features=features, labels=labels, groups=np.array(groups))
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    store = RunStore()
    compute(RunConfig(name="rows", source={"kind": "feature_file", "path": str(tmp_path / "rows.npz")}), store)
    return open_run("rows")


def selected(data: RunData, view: View | None = None) -> Selection:
    latest = decisions(data).latest().set_index("sample_id")["action"]
    now = [latest.get(sample, "undecided") for sample in data.frame["sample_id"]]
    frame = data.frame.assign(decision=pd.Categorical(now, categories=list(DECISIONS)))
    return Selection(data, view or View(run="rows"), frame)


def ids(data: RunData, rows: np.ndarray) -> list[str]:
    return data.frame["sample_id"].iloc[rows].tolist()


def decide(data: RunData, sample: str, action: str, reviewer: str) -> None:
    log, row = decisions(data), data.row(sample)
    assert row is not None
    label = str(data.frame["label"].iloc[row])
    seen = log.revisions().get(sample, 0)
    log.record(sample, action, reviewer=reviewer, expected_revision=seen, given_label=label)  # type: ignore[arg-type]


def test_doubt_and_information_order_the_undecided(data: RunData) -> None:
    for name, column in (("Suspicion", "suspicion"), ("LSI", "lsi")):
        rows, decided = waiting(selected(data), name, seen=set())
        assert (len(rows), decided) == (60, 0)
        assert (np.diff(data.frame[column].to_numpy()[rows]) <= 0).all()
    rows, _ = waiting(selected(data), "Suspects", seen=set())
    assert 0 < len(rows) < 60
    first, last = ids(data, rows)[0], ids(data, rows)[-1]
    decide(data, first, "keep", "ann")
    left, decided = waiting(selected(data), "Suspects", seen=set())
    assert (ids(data, left), decided) == (ids(data, rows)[1:], 1)
    assert ids(data, waiting(selected(data), "Suspects", seen=set(), focus=last)[0])[0] == last


def test_a_filter_on_decisions_keeps_what_this_session_has_not_decided_since(data: RunData) -> None:
    rows, _ = waiting(selected(data), "Suspicion", seen=set())
    first, second = ids(data, rows)[:2]
    decide(data, first, "unsure", "ann")
    decide(data, second, "unsure", "ann")
    view = View(run="rows", decisions=("unsure",))
    assert ids(data, waiting(selected(data, view), "Suspicion", seen=set())[0]) == [first, second]
    left, decided = waiting(selected(data, view), "Suspicion", seen={first})
    assert (ids(data, left), decided) == ([second], 1)


def test_groups_come_whole_the_most_doubtful_first(data: RunData) -> None:
    assert "Group" in queues(data)
    rows, _ = waiting(selected(data), "Group", seen=set())
    assert sorted(rows) == list(range(60))
    named = data.frame["group"].to_numpy()[rows]
    doubt = data.frame["suspicion"].to_numpy()[rows]
    assert (named[30:] == "").all(), "those without a group come last"
    blocks = named[:30].reshape(10, 3)
    assert (blocks == blocks[:, :1]).all()
    assert (np.diff(doubt[:30].reshape(10, 3)) <= 0).all()
    assert (np.diff(doubt[:30].reshape(10, 3).max(axis=1)) <= 0).all()


def test_disputed_samples_wait_for_one_more_word(data: RunData) -> None:
    assert waiting(selected(data), "Disputed", seen=set())[0].size == 0
    rows, _ = waiting(selected(data), "Suspicion", seen=set())
    first, second = ids(data, rows)[:2]
    for sample in (first, second):
        decide(data, sample, "keep", "ann")
        decide(data, sample, "drop", "bob")
    assert ids(data, waiting(selected(data), "Disputed", seen=set())[0]) == [first, second]
    decide(data, first, "drop", "eve")
    left, decided = waiting(selected(data), "Disputed", seen=set())
    assert (ids(data, left), decided) == ([second], 1)
