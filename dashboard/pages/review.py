"""Review: the queue of doubtful samples, one at a time; one key or click decides and shows the next.

Where a reader stands is read from the log: the queue is what the filters keep and nobody has decided. Nothing
about the position is kept elsewhere, so a reload, a crash or a second tab goes on where the decisions end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.components import rounds
from dashboard.components.pair_panel import CAPTION_WRONG
from dashboard.components.ranking import order
from dashboard.components.review import AHEAD, NEIGHBOURS_AHEAD, Outcome, desk, desk_item, record
from dashboard.components.reviewer import reviewer_name, signed_in
from dashboard.selection import DOUBT, Selection, current_selection
from lsi_engine.curation import Decisions


@dataclass(frozen=True)
class Queue:
    """What is reviewed, by which score (highest first), and what to say about it."""

    column: str
    suspects_only: bool
    about: str


QUEUES = {
    "Suspects": Queue("suspicion", True, f"Suspicion above {DOUBT} and another label suggested."),
    "Suspicion": Queue("suspicion", False, "Every label, the most doubtful first."),
    "LSI": Queue("lsi", False, "The most informative first: rare, odd or wrongly labelled."),
}
#: What to say about the same queues of image–caption pairs.
ABOUT_PAIRS = {
    "Suspects": "Image and caption match less than chance would have it.",
    "Suspicion": "Every pair, the worst match first.",
    "LSI": "The most informative first: rare, odd or wrongly paired.",
}


def render() -> None:
    selection = current_selection()
    data, log = selection.data, Decisions(selection.data.run.decisions_path)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="review_controls"):
        by = st.segmented_control(
            "Queue by",
            list(QUEUES),
            default="Suspects",
            required=True,
            key="queue",
            bind="query-params",
            label_visibility="collapsed",
        )
        queue = QUEUES[by or "Suspects"]
        about = ABOUT_PAIRS[by or "Suspects"] if data.pairs else queue.about
        st.html(f'<span class="lsi-count">{about}</span>', width="stretch")
        rounds.button(data)
        reviewer = reviewer_name()
    rounds.last_round(data)
    run = f"{data.run.name}@{data.run.fingerprint}"
    if st.session_state.get("review_run") != run:
        st.session_state.update(review_run=run, review_outcome=Outcome(), review_seen=set())
    outcome: Outcome = st.session_state["review_outcome"]
    for message in outcome.refused:
        st.error(words.markdown(message))
    if outcome.nothing_to_undo:
        st.toast(f"{words.markdown(reviewer)} has no decision left to undo.")
        outcome.nothing_to_undo = False

    waiting, decided = _queue(selection, queue)
    revisions = log.revisions()
    items = [
        desk_item(data, selection.frame, int(row), log, revisions, place < NEIGHBOURS_AHEAD)
        for place, row in enumerate(waiting[:AHEAD])
    ]
    result = desk()(
        key="review_desk",
        data={
            "run": run,
            "reviewer": reviewer,
            "items": items,
            "total": len(waiting) + decided,
            "decided": decided,
            "remaining": len(waiting),
            "acknowledged": outcome.acknowledged,
            "conflicts": outcome.conflicts,
            "labels": [] if data.pairs else data.classes,
            "explains": "Do image and caption belong together?"
            if data.pairs
            else f"Class probabilities of a probe trained without this {data.nouns[0]}.",
            "wrong": CAPTION_WRONG if data.pairs else "",
            "finished": f"Nothing left in this queue: every {data.nouns[0]} that it and the filters keep is decided. "
            "Z takes the last decision back.",
        },
        default={"outbox": []},
        on_outbox_change=lambda: _take(run, log),
        on_focus_change=lambda: None,
    )
    if _untaken(run, result.outbox):  # what a browser still held when it came back to a new session
        _take(run, log)
        st.rerun()
    if result.focus:
        st.session_state["review_focus"] = result.focus
        outcome.conflicts = [one for one in outcome.conflicts if one["sample_id"] != result.focus]
        st.rerun()


def _take(run: str, log: Decisions) -> None:
    """Record what the desk has sent, before the page is drawn again.

    An act on a run that was just left stays in the desk's storage until that run is opened again.
    """
    state = st.session_state
    before: Outcome = state["review_outcome"]
    outcome = record(log, _untaken(run, state["review_desk"].get("outbox")), signed_in=signed_in())
    # The desk drops an act once it sees its token; a few hundred cover everything it can still hold.
    outcome.acknowledged = [*before.acknowledged, *outcome.acknowledged][-500:]
    if not outcome.conflicts:
        outcome.conflicts = before.conflicts if not outcome.decided else []
    if outcome.undone:
        state["review_focus"] = outcome.undone
    elif state.get("review_focus") in outcome.decided:
        del state["review_focus"]
    state["review_seen"].update(outcome.decided)
    if outcome.undone:
        state["review_seen"].discard(outcome.undone)
    state["review_outcome"] = outcome


def _untaken(run: str, outbox: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    known = set(st.session_state["review_outcome"].acknowledged)
    return [act for act in outbox or [] if act["run"] == run and act["token"] not in known]


def _queue(selection: Selection, queue: Queue) -> tuple[np.ndarray, int]:
    """Rows still to decide, in order, and how many of the same selection are decided.

    Without a filter on decisions the queue is what nobody has decided. With one (say, the unsure) it is what
    the filter keeps, less what this session has decided since.
    """
    data, view, frame = selection.data, selection.view, selection.frame
    rows = order(data, queue.column, descending=True)
    if view.decisions:
        seen = frame["sample_id"].isin(st.session_state["review_seen"]).to_numpy()
        member = selection.mask | (replace(view, decisions=()).mask(frame) & seen)
        open_ = selection.mask & ~seen
    else:
        member = selection.mask
        open_ = member & (frame["decision"] == "undecided").to_numpy()
    if queue.suspects_only:
        member, open_ = member & selection.suspected, open_ & selection.suspected
    waiting = rows[open_[rows]]
    decided = int(member.sum()) - len(waiting)
    focus = data.row(st.session_state.get("review_focus", ""))
    if focus is not None:
        waiting = np.concatenate([[focus], waiting[waiting != focus]])
    return waiting, decided
