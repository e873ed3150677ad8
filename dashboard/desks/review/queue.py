"""What is reviewed, and in which order: the samples that the view keeps and nobody has decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.components.ranking import order
from dashboard.data import RunData, decisions
from dashboard.desks.reading.desk import readings_of
from dashboard.view.selection import DOUBT, Selection
from lsi_engine.curation.disputes import disputes


@dataclass(frozen=True)
class Queue:
    """``about`` says what is in it, ``about_pairs`` the same of image–caption pairs."""

    about: str
    about_pairs: str


QUEUES = {
    "Suspects": Queue(
        f"Suspicion above {DOUBT} and another label suggested.",
        "Image and caption match less than chance would have it.",
    ),
    "Suspicion": Queue("Every label, the most doubtful first.", "Every pair, the worst match first."),
    "LSI": Queue(
        "The most informative first: rare, odd or wrongly labelled.",
        "The most informative first: rare, odd or wrongly paired.",
    ),
    "Group": Queue(
        "Group by group (patient, source), the one with the most doubtful label first.",
        "Group by group, the one with the worst match first.",
    ),
    "Disputed": Queue(
        "Reviewers, or blinded readers, said different things: one more decision settles it.",
        "Reviewers said different things: one more decision settles it.",
    ),
}


def queues(data: RunData) -> list[str]:
    """The queues that this run can have: groups only where samples share one."""
    grouped = "group" in data.frame and bool((data.frame["group"] != "").any())
    return [name for name in QUEUES if name != "Group" or grouped]


def waiting(selection: Selection, name: str, *, seen: set[str], focus: str = "") -> tuple[NDArray[np.intp], int]:
    """Rows still to decide, in order, and how many of the same selection are decided.

    Without a filter on decisions the queue is what nobody has decided. With one (say, the unsure) it is what the
    filter keeps, less the ids ``seen``: those that this session has decided since. A dispute is open until somebody
    decides again. ``focus`` is the id of a sample that goes first, decided or not.
    """
    data, view, frame = selection.data, selection.view, selection.frame
    rows = _by_group(data) if name == "Group" else order(data, "lsi" if name == "LSI" else "suspicion", descending=True)
    if name == "Disputed":
        found = _disputes(data)
        place = data.position.get_indexer(pd.Index(found.index, dtype="object"))
        member, open_ = np.zeros(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
        member[place[place >= 0]] = True
        open_[place[(place >= 0) & found.to_numpy()]] = True
        member, open_ = member & selection.mask, open_ & selection.mask
    elif view.decisions:
        since = frame["sample_id"].isin(seen).to_numpy()
        member = selection.mask | (replace(view, decisions=()).mask(frame) & since)
        open_ = selection.mask & ~since
    else:
        member = selection.mask
        open_ = member & (frame["decision"] == "undecided").to_numpy()
    if name == "Suspects":
        member, open_ = member & selection.suspected, open_ & selection.suspected
    left = rows[open_[rows]]
    decided = int(member.sum()) - len(left)
    first = data.row(focus)
    if first is not None:
        left = np.concatenate([[first], left[left != first]])
    return left, decided


def _disputes(data: RunData) -> pd.Series:
    readings = readings_of(data.run)
    stamp = max((path.stat().st_mtime_ns for path in readings.path.parent.glob("readings.sqlite*")), default=0)
    return _disputed(str(data.run.path), data.run.fingerprint, decisions(data).version(), stamp, data)


@st.cache_data(max_entries=4, show_spinner=False)
def _disputed(folder: str, fingerprint: str, version: int, stamp: int, _data: RunData) -> pd.Series:
    given = _data.frame.set_index("sample_id")["label"]
    return disputes(decisions(_data), readings_of(_data.run), given)


def _by_group(data: RunData) -> NDArray[np.intp]:
    return _group_order(str(Path(data.run.path)), data.run.fingerprint, data.frame["group"], data.frame["suspicion"])


@st.cache_resource(max_entries=4, show_spinner=False)
def _group_order(folder: str, fingerprint: str, _group: pd.Series, _suspicion: pd.Series) -> NDArray[np.intp]:
    """``(N,)`` rows: groups by their most doubtful sample, within one by doubt, then samples without a group."""
    doubt = _suspicion.to_numpy(dtype=float)
    names = _group.astype("object").fillna("").to_numpy()
    codes, kinds = pd.factorize(names)
    worst = np.full(len(kinds), -np.inf)
    np.maximum.at(worst, codes, doubt)
    alone = names == ""
    return np.lexsort((np.arange(len(doubt)), -doubt, codes, np.where(alone, 0.0, -worst[codes]), alone))
