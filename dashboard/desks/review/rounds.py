"""Rounds of review: score again with the decisions applied, and what the last round changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import jobs, words
from dashboard.components.background import watch
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.data import RunData, decisions, frame_with_decisions, open_run, switch_run
from dashboard.navigation import open_sample
from lsi_engine.curation.rescore import next_name, pending
from lsi_engine.curation.rounds import HEAD, TAIL_PERCENTILE, RoundChanges, round_changes
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore

#: Tiles shown of each list of samples.
TILES = 9
_GOING = "rescoring"
_LISTS = (
    ("waiting", "Still doubtful"),
    ("new_suspects", "Newly doubtful"),
    ("settled", "No longer doubtful"),
)


def button(data: RunData) -> None:
    """Start the next round, or say how far it is; opens the new run once it is there."""
    begun = _begun(data)
    name = st.session_state.get(_GOING) or (begun.name if begun is not None and begun.active else None)
    if name:
        _watch(name)
        return
    if data.pairs:
        return
    relabelled, dropped = pending(data.frame, decisions(data).latest())
    with st.popover("Score again", icon=":material/autorenew:", disabled=not relabelled + dropped, key="rescore_open"):
        name = next_name(data.run, RunStore())
        st.write(
            f"Applies {words.count(relabelled)} relabelled and {words.count(dropped)} dropped {data.nouns[1]} and "
            f"scores the rest again from the stored features, as the run **{words.markdown(name)}**. This run stays "
            "as it is, and the decisions go along."
        )
        st.button("Score again now", type="primary", key="rescore_start", on_click=_start, args=(data, name))


def _start(data: RunData, name: str) -> None:
    try:
        jobs.start_rescore(data.run.name, name)
    except InputError as error:
        st.toast(words.markdown(str(error)), icon=":material/warning:")
    else:
        st.session_state[_GOING] = name


def _begun(data: RunData) -> jobs.Job | None:
    """The next round of this run where somebody has started it, in this tab or elsewhere, and it is not finished."""
    store = RunStore()
    found = jobs.job(store.path(next_name(data.run, store)))
    started = found.command == "rescore" and (found.arguments or {}).get("run") == data.run.name
    return found if started else None


def _watch(name: str) -> None:

    def ended(job: jobs.Job) -> None:
        mine = st.session_state.pop(_GOING, None) == name
        if job.state == "done" and mine:
            switch_run(name)
        elif job.state == "done":
            st.toast(f"{words.markdown(name)} is scored: open it under Run.")

    watch(RunStore().path(name), words.markdown(name), {}, ended=ended, width=240)


def last_round(data: RunData) -> None:
    """The card of a derived run: counts before and after, and the samples behind them. Nothing for other runs."""
    _stopped(data)
    parent = data.run.config.derived_from
    if parent is None:
        return
    try:
        before = open_run(parent)
    except (InputError, OSError):
        st.caption(f"Derived from {words.markdown(parent)}, which is no longer stored: what changed cannot be shown.")
        return
    log = decisions(data)
    changes = _changes(before.run.fingerprint, data.run.fingerprint, log.version(), before, data)
    with st.expander(_sentence(data, parent, changes), icon=":material/compare_arrows:", key="last_round"):
        _numbers(changes, data.nouns[1])
        _samples(data, changes)


def _stopped(data: RunData) -> None:
    """Say that the next round was begun and came to no end, and offer to go on with it."""
    found = _begun(data)
    if found is None or found.active or found.name == st.session_state.get(_GOING):
        return
    why = found.status.message
    if found.state == "stalled":
        why = "its process is gone: it was killed, or the machine ran out of memory or was switched off"
    with st.container(key="round_stopped"):
        st.warning(
            f"Scoring again as **{words.markdown(found.name)}** stopped: {words.markdown(why or found.state)}. "
            "No decision is lost; Resume applies those that stand now."
        )
        st.button("Resume", key="rescore_resume", on_click=_start, args=(data, found.name))


@st.cache_resource(max_entries=8, show_spinner=False)
def _changes(parent: str, fingerprint: str, version: int, _before: RunData, _data: RunData) -> RoundChanges:
    return round_changes(_before.frame, _data.frame, decisions(_data).latest())


def _sentence(data: RunData, parent: str, changes: RoundChanges) -> str:
    applied = f"{words.count(changes.relabelled)} relabelled and {words.count(changes.dropped)} dropped"
    suspects = f"suspected labels {words.count(changes.suspects_before)} → {words.count(changes.suspects_after)}"
    if changes.finished:
        rest = f"nothing undecided is doubtful any more: the review of these {data.nouns[1]} is at its end"
    elif not changes.new_suspects:
        rest = f"nothing new is doubtful, {words.count(len(changes.waiting))} known ones wait"
    else:
        rest = f"{words.count(len(changes.waiting))} to look at, {words.count(len(changes.new_suspects))} of them new"
    return f"Since **{words.markdown(parent)}**: {applied}, {suspects}; {rest}."


def _numbers(changes: RoundChanges, many: str) -> None:
    rows = [
        ("Suspected labels", changes.suspects_before, changes.suspects_after),
        (
            f"Above LSI {words.number(changes.tail_threshold)} (the p{TAIL_PERCENTILE} before)",
            changes.tail_before,
            changes.tail_after,
        ),
    ]
    table = pd.DataFrame(rows, columns=["", "Before", "Now"])
    moves = [
        (f"First {HEAD} by {name}", len(changes.entered[measure]), len(changes.left[measure]))
        for measure, name in (("suspicion", "suspicion"), ("lsi", "LSI"))
    ]
    left, right = st.columns(2)
    left.dataframe(table, hide_index=True)
    right.dataframe(pd.DataFrame(moves, columns=["", f"New {many}", f"{many.capitalize()} gone"]), hide_index=True)


def _samples(data: RunData, changes: RoundChanges) -> None:
    lists = {title: getattr(changes, name) for name, title in _LISTS}
    lists["New at the head of LSI"] = changes.entered["lsi"]
    lists = {f"{title} ({words.count(len(ids))})": ids for title, ids in lists.items() if ids}
    if not lists:
        return
    chosen = st.segmented_control("Samples", list(lists), default=next(iter(lists)), required=True, key="round_list")
    rows = data.position.get_indexer(pd.Index(lists.get(chosen or "", next(iter(lists.values())))[:TILES]))
    frame = frame_with_decisions(data)
    event = gallery(
        data,
        frame,
        [Section([Group(np.asarray(rows), columns=TILES)])],
        key="round_tiles",
        tile_pixels=110,
        framed=False,
    )
    if event.opened:
        open_sample(event.opened)
