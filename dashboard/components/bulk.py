"""One decision for all selected tiles, and its undo."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import words
from dashboard.data import RunData
from dashboard.data import decisions as decisions_of
from dashboard.desks.review.reviewer import reviewer_name
from lsi_engine.curation import Action, Decision

_EPOCH = "bulk_epoch"
_LAST = "bulk_last"
#: Ids that this session has decided; the queue leaves them out where a filter on decisions would still keep them.
SEEN = "review_seen"


def epoch() -> int:
    """Changes when the selection is to be emptied."""
    return int(st.session_state.get(_EPOCH, 0))


def bar(data: RunData, selected: Sequence[str], *, asks_name: bool = True) -> None:
    """The row above a gallery: what to do with the ``selected`` ids, or how to select.

    With the reviewer's name, unless the page has its field already.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="bulk_bar"):
        if not selected:
            st.html(
                '<span class="lsi-count">Click a tile to open it. Tick tiles to decide many at once: Ctrl-click or '
                "Space one, Shift-click a range.</span>",
                width="stretch",
            )
            _undo_last(data)
            if asks_name:
                reviewer_name()
            return
        st.html(f'<b role="status">{len(selected)} selected</b>', width="content")
        seen = revisions_of(data, selected)
        for action, icon in (("keep", "✓"), ("drop", "✕"), ("unsure", "?")):
            st.button(
                f"{icon} {action.capitalize()}",
                key=f"bulk_{action}",
                on_click=decide,
                args=(data, tuple(selected), action, seen),
            )
        if not data.pairs:
            with st.popover("⇄ Relabel"):
                label = st.selectbox("New label", data.classes, key="bulk_label")
                st.button(
                    f"Relabel to {words.markdown(label)}",
                    key="bulk_relabel",
                    on_click=decide,
                    args=(data, tuple(selected), "relabel", seen, label),
                )
        st.button("Clear", key="bulk_clear", type="tertiary", on_click=_clear)
        if asks_name:
            st.space("stretch")
            reviewer_name()


def decide(
    data: RunData,
    samples: Sequence[str],
    action: Action,
    seen: Mapping[str, int],
    new_label: str | Mapping[str, str] | None = None,
) -> None:
    """Record one action for all ``samples`` under the session's reviewer, and say what came of it.

    ``seen`` are the revisions that the reader saw (0 where left out); ``new_label`` is one for all or one for each.
    """
    reviewer, log = st.session_state["reviewer"], decisions_of(data)
    decisions, already = [], 0
    for sample in samples:
        row = data.row(sample)
        if row is None:
            continue
        given = str(data.frame["label"].iloc[row])
        label = new_label if new_label is None or isinstance(new_label, str) else new_label[sample]
        if label == given:
            already += 1
            continue
        decisions.append(Decision(sample, action, reviewer, seen.get(sample, 0), given, label, token=uuid.uuid4().hex))
    conflicts = log.record_all(decisions)
    refused = {conflict.sample_id for conflict in conflicts}
    written = [decision for decision in decisions if decision.sample_id not in refused]
    st.session_state[_LAST] = (data.run.name, reviewer, [decision.token for decision in written])
    st.session_state.setdefault(SEEN, set()).update(decision.sample_id for decision in written)
    to = f" to {words.markdown(new_label)}" if isinstance(new_label, str) else ""
    st.toast(f"{len(written)} decided: {action}{to}")
    if already:
        st.toast(f"{already} left alone: they have that label already", icon=":material/info:")
    for conflict in conflicts[:3]:
        st.toast(words.markdown(str(conflict)), icon=":material/warning:", duration="infinite")
    if len(conflicts) > 3:
        st.toast(f"{len(conflicts) - 3} more were decided by others meanwhile", icon=":material/warning:")
    _clear()


def revisions_of(data: RunData, samples: Sequence[str]) -> dict[str, int]:
    """What a reader who is shown ``samples`` now will have seen."""
    revisions = decisions_of(data).revisions()
    return {sample: revisions.get(sample, 0) for sample in samples}


def _clear() -> None:
    st.session_state[_EPOCH] = epoch() + 1


def _undo_last(data: RunData) -> None:
    run, reviewer, tokens = st.session_state.get(_LAST, ("", "", []))
    if run == data.run.name and tokens:
        st.button(f"Undo the last {len(tokens)}", key="bulk_undo", on_click=_withdraw, args=(data, reviewer, tokens))


def _withdraw(data: RunData, reviewer: str, tokens: Sequence[str]) -> None:
    log = decisions_of(data)
    withdrawn = log.withdraw(reviewer, tokens)
    st.session_state.pop(SEEN, None)  # undecided again, or decided by somebody before
    st.session_state.pop(_LAST, None)
    st.toast(f"{withdrawn} withdrawn")
