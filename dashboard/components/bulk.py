"""One decision for all selected tiles, and its undo."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import streamlit as st

from dashboard import words
from dashboard.components.reviewer import reviewer_name
from dashboard.data import RunData
from lsi_engine.curation import Action, Decision, Decisions

_EPOCH = "bulk_epoch"
_LAST = "bulk_last"


def epoch() -> int:
    """Changes when the selection is to be emptied."""
    return int(st.session_state.get(_EPOCH, 0))


def bar(data: RunData, selected: Sequence[str]) -> None:
    """The row above a gallery: what to do with the ``selected`` ids, or how to select."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="bulk_bar"):
        if not selected:
            st.html(
                '<span class="lsi-count">Click a tile to open it. Tick tiles to decide many at once: Ctrl-click or '
                "Space one, Shift-click a range.</span>",
                width="stretch",
            )
            _undo_last(data)
            reviewer_name()
            return
        st.html(f'<b role="status">{len(selected)} selected</b>', width="content")
        seen = Decisions(data.run.decisions_path).revisions()
        arguments = (data, tuple(selected), {sample: seen.get(sample, 0) for sample in selected})
        for action, icon in (("keep", "✓"), ("drop", "✕"), ("unsure", "?")):
            st.button(
                f"{icon} {action.capitalize()}", key=f"bulk_{action}", on_click=_decide, args=(*arguments, action)
            )
        if not data.pairs:
            with st.popover("⇄ Relabel"):
                label = st.selectbox("New label", data.classes, key="bulk_label")
                st.button(
                    f"Relabel to {words.markdown(label)}",
                    key="bulk_relabel",
                    on_click=_decide,
                    args=(*arguments, "relabel", label),
                )
        st.button("Clear", key="bulk_clear", type="tertiary", on_click=_clear)
        st.space("stretch")
        reviewer_name()


def _decide(
    data: RunData,
    selected: Sequence[str],
    seen: dict[str, int],
    action: Action,
    new_label: str | None = None,
) -> None:
    reviewer = st.session_state["reviewer"]
    decisions, already = [], 0
    for sample in selected:
        row = data.row(sample)
        if row is None:
            continue
        given = str(data.frame["label"].iloc[row])
        if new_label == given:
            already += 1
            continue
        decisions.append(Decision(sample, action, reviewer, seen[sample], given, new_label, token=uuid.uuid4().hex))
    conflicts = Decisions(data.run.decisions_path).record_all(decisions)
    refused = {conflict.sample_id for conflict in conflicts}
    tokens = [decision.token for decision in decisions if decision.sample_id not in refused]
    st.session_state[_LAST] = (data.run.name, reviewer, tokens)
    st.toast(f"{len(tokens)} decided: {action}" + (f" to {words.markdown(new_label)}" if new_label else ""))
    if already:
        st.toast(f"{already} left alone: they have that label already", icon=":material/info:")
    for conflict in conflicts[:3]:
        st.toast(words.markdown(str(conflict)), icon=":material/warning:", duration="infinite")
    if len(conflicts) > 3:
        st.toast(f"{len(conflicts) - 3} more were decided by others meanwhile", icon=":material/warning:")
    _clear()


def _clear() -> None:
    st.session_state[_EPOCH] = epoch() + 1


def _undo_last(data: RunData) -> None:
    run, reviewer, tokens = st.session_state.get(_LAST, ("", "", []))
    if run == data.run.name and tokens:
        st.button(f"Undo the last {len(tokens)}", key="bulk_undo", on_click=_withdraw, args=(data, reviewer, tokens))


def _withdraw(data: RunData, reviewer: str, tokens: Sequence[str]) -> None:
    withdrawn = Decisions(data.run.decisions_path).withdraw(reviewer, tokens)
    st.session_state.pop(_LAST, None)
    st.toast(f"{withdrawn} withdrawn")
