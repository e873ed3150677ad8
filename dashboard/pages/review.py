"""Review: the queue of doubtful samples, one at a time; one key or click decides and shows the next.

Where a reader stands is read from the log: the queue is what the filters keep and nobody has decided. Nothing
about the position is kept elsewhere, so a reload, a crash or a second tab goes on where the decisions end.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import words
from dashboard.components.bulk import SEEN
from dashboard.components.caveat import caveat
from dashboard.components.pair_panel import CAPTION_WRONG
from dashboard.components.probabilities import explanation
from dashboard.data import decisions
from dashboard.desks.review import rounds
from dashboard.desks.review.desk import AHEAD, NEIGHBOURS_AHEAD, Outcome, desk, desk_item, record
from dashboard.desks.review.grid import review_grid
from dashboard.desks.review.queue import QUEUES, queues, waiting
from dashboard.desks.review.reviewer import reviewer_name, signed_in
from dashboard.view.selection import current_selection
from lsi_engine.curation import Decisions

#: One sample with everything about it, or many to confirm at a glance.
MODES = ("One", "Grid")


def render() -> None:
    selection = current_selection()
    data, log = selection.data, decisions(selection.data)
    caveat(data)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="review_controls"):
        by = st.segmented_control(
            "Queue by",
            queues(data),
            default="Suspects",
            required=True,
            key="queue",
            bind="query-params",
            label_visibility="collapsed",
        )
        name = by or "Suspects"
        about = QUEUES[name].about_pairs if data.pairs else QUEUES[name].about
        mode = st.segmented_control(
            "Show",
            MODES,
            default=MODES[0],
            required=True,
            key="review_mode",
            bind="query-params",
            label_visibility="collapsed",
        )
        st.html(f'<span class="lsi-count lsi-about">{about}</span>', width="stretch")
        rounds.button(data)
        reviewer = reviewer_name()
    rounds.last_round(data)
    run = f"{data.run.name}@{data.run.fingerprint}"
    if st.session_state.get("review_run") != run:
        st.session_state.update(review_run=run, review_outcome=Outcome(), **{SEEN: set()})
    outcome: Outcome = st.session_state["review_outcome"]
    for message in outcome.refused:
        st.error(words.markdown(message))
    if outcome.nothing_to_undo:
        st.toast(f"{words.markdown(reviewer)} has no decision left to undo.")
        outcome.nothing_to_undo = False

    focus = st.session_state.get("review_focus", "") if mode == MODES[0] else ""
    left, decided = waiting(selection, name, seen=st.session_state.setdefault(SEEN, set()), focus=focus)
    if mode == MODES[1]:
        st.caption(f"{words.count(decided)} of {words.count(decided + len(left))} decided")
        review_grid(selection, left)
        return
    revisions = log.revisions()
    items = [
        desk_item(data, selection.frame, int(row), log, revisions, place < NEIGHBOURS_AHEAD)
        for place, row in enumerate(left[:AHEAD])
    ]
    result = desk()(
        key="review_desk",
        data={
            "run": run,
            "reviewer": reviewer,
            "items": items,
            "total": len(left) + decided,
            "decided": decided,
            "remaining": len(left),
            "acknowledged": outcome.acknowledged,
            "conflicts": outcome.conflicts,
            "labels": [] if data.pairs else data.classes,
            "explains": "Do image and caption belong together?" if data.pairs else explanation(data),
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
    state.setdefault(SEEN, set()).update(outcome.decided)
    if outcome.undone:
        state.setdefault(SEEN, set()).discard(outcome.undone)
    state["review_outcome"] = outcome


def _untaken(run: str, outbox: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    known = set(st.session_state["review_outcome"].acknowledged)
    return [act for act in outbox or [] if act["run"] == run and act["token"] not in known]
