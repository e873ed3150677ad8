"""The filter strip that travels over every page: conditions as chips, the count, every control, the link."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.data import RunData, frame_with_decisions
from dashboard.report import SUFFIX
from dashboard.view.view import DECISIONS, View, set_view, update_view
from lsi_engine.scores.registry import filtering

_COPY_JS = """
export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  const label = button.textContent;
  button.onclick = async () => {
    const link = window.location.href;
    try { await navigator.clipboard.writeText(link); button.textContent = "Copied"; }
    catch { window.prompt("This view's link", link); }
    setTimeout(() => { button.textContent = label; }, 1600);
  };
}
"""
_COPY_CSS = """
button { font: inherit; font-size: 14px; color: var(--st-text-color); cursor: pointer; white-space: nowrap;
  background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color);
  border-radius: 999px; padding: 4px 14px; }
button:hover { border-color: var(--st-text-color); }
button:focus-visible { outline: 2px solid var(--st-link-color); outline-offset: 1px; }
"""


def strip(data: RunData, view: View) -> None:
    """Draw the strip: what is shown, how many samples that is, and everything that changes it."""
    matching = int(view.mask(frame_with_decisions(data)).sum())
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="filter_strip"):
        with st.popover("Filters", icon=":material/filter_list:", key="filter_controls"):
            _controls(data, view)
        # A container of their own keeps what follows in its place however many chips there are.
        with st.container(horizontal=True, width="content", gap="small", key="filter_chips"):
            for position, chip in enumerate(view.chips()):
                st.button(
                    f"{words.markdown(chip.text)} ✕",
                    key=f"chip_{position}_{chip.text}",
                    on_click=set_view,
                    args=(chip.without,),
                )
            if view.conditions > 1:
                empty = View(run=view.run)
                st.button("Clear all", key="clear_filters", type="tertiary", on_click=set_view, args=(empty,))
        total = words.count(len(data.frame))
        counted = f"{words.count(matching)} of {total}" if view.conditions else total
        st.html(f'<span class="lsi-count" role="status">{counted} {data.nouns[1]}</span>', width="stretch")
        st.download_button(
            "Report",
            lambda: _report(view),
            view.run + SUFFIX,
            "text/html",
            key="report",
            help="One file to mail: the figures, tables and samples of this view, without anything to install.",
            on_click="ignore",
            disabled=matching == 0,
        )
        _copy_link()
    if view.conditions and not matching:
        with st.container(horizontal=True, vertical_alignment="center", key="filter_nothing"):
            st.info(f"No {data.nouns[0]} meets these conditions.", icon=":material/filter_list_off:")
            empty = View(run=view.run)
            st.button("Show all again", key="clear_nothing", type="primary", on_click=set_view, args=(empty,))


def _report(view: View) -> bytes:
    from dashboard.report.contents import report  # only when asked for: a page need not wait for it

    return report(view).encode()


def _copy_link() -> None:
    st.components.v2.component(
        "lsi_copy_link", html='<button type="button">Copy link</button>', css=_COPY_CSS, js=_COPY_JS
    )(key="copy_link", width="content")


def _controls(data: RunData, view: View) -> None:
    """Every condition as a widget that shows the view and changes it."""
    state = st.session_state
    frame = data.frame

    state["f_search"] = view.search
    st.text_input(
        "Id, name or text contains",
        key="f_search",
        on_change=lambda: update_view(search=state["f_search"].strip()),
    )
    _choice("Class", "f_class", data.classes, view.classes, "classes")
    lsi = _ascending(data.run.fingerprint, data)
    state["f_lsi"] = _percentiles(lsi, view.lsi)
    st.slider(
        "LSI percentile",
        0.0,
        100.0,
        step=0.1,
        format="p%.1f",
        key="f_lsi",
        on_change=lambda: update_view(lsi=_range_of(lsi, state["f_lsi"])),
        help="p99 to p100 is the most informative hundredth of the samples.",
    )
    state["f_suspicion"] = (max(view.suspicion[0], 0.0), min(view.suspicion[1], 1.0)) if view.suspicion else (0.0, 1.0)
    st.slider(
        "Suspicion",
        0.0,
        1.0,
        step=0.01,
        key="f_suspicion",
        on_change=lambda: update_view(suspicion=_unless_all(state["f_suspicion"])),
        help="Label doubt: how little a probe trained without the sample believes the given label.",
    )
    _further_scores(data, view)
    _choice("Decision", "f_decision", list(DECISIONS), view.decisions, "decisions")
    if "corrupted" in frame:
        names = {"All": None, "Corrupted": True, "Uncorrupted": False}
        state["f_corrupted"] = next(name for name, value in names.items() if value == view.corrupted)
        st.segmented_control(
            "Corruption",
            list(names),
            required=True,
            key="f_corrupted",
            on_change=lambda: update_view(corrupted=names[state["f_corrupted"]]),
        )
    if "split" in frame:
        _choice("Split", "f_split", list(frame["split"].cat.categories), view.split, "split")


def _further_scores(data: RunData, view: View) -> None:
    """A range of one more score, chosen from those that this run has."""
    others = {each.name: each for each in filtering(data.frame) if each.name not in ("lsi", "suspicion")}
    ranged = dict(view.scores)
    name = st.selectbox(
        "Another score",
        list(others),
        index=next((place for place, each in enumerate(others) if each in ranged), None),
        format_func=lambda each: others[each].title,
        placeholder="none",
        key="f_score",
    )
    if name is None:
        return
    values = data.frame[name].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not low < high:
        st.caption(f"{others[name].title} is the same for every {data.nouns[0]}.")
        return
    given = ranged.get(name, (low, high))
    st.session_state["f_score_range"] = (max(given[0], low), min(given[1], high))

    def change() -> None:
        chosen = st.session_state["f_score_range"]
        rest = tuple(each for each in view.scores if each[0] != name)
        update_view(scores=rest if chosen == (low, high) else (*rest, (name, chosen)))

    st.slider(others[name].title, low, high, key="f_score_range", on_change=change, help=others[name].help)


@st.cache_resource(max_entries=6, show_spinner=False)
def _ascending(fingerprint: str, _data: RunData) -> np.ndarray:
    """``(N,)`` LSI of the whole run in order: sorting a million takes longer than the rest of the strip."""
    return np.sort(_data.frame["lsi"].to_numpy())


def _choice(label: str, key: str, options: list[str], chosen: tuple[str, ...], field: str) -> None:
    st.session_state[key] = [value for value in chosen if value in options]
    st.multiselect(
        label,
        options,
        key=key,
        placeholder="all",
        on_change=lambda: update_view(**{field: tuple(st.session_state[key])}),
    )


def _unless_all(limits: tuple[float, float]) -> tuple[float, float] | None:
    return None if limits == (0.0, 1.0) else limits


def _percentiles(ordered: np.ndarray, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Where a range of scores lies among the ``ordered`` scores, in 0..100 to one decimal."""
    if limits is None:
        return 0.0, 100.0
    below = (
        np.searchsorted(ordered, limits[0], side="left"),
        np.searchsorted(ordered, limits[1], side="right"),
    )
    low, high = (round(100 * int(n) / len(ordered), 1) for n in below)
    return low, max(low, high)


def _range_of(ordered: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float] | None:
    """The range of scores between two percentiles; an end at 0 or 100 is open."""
    if percentiles == (0.0, 100.0):
        return None
    low, high = np.quantile(ordered, [percentiles[0] / 100, percentiles[1] / 100])
    return (0.0 if percentiles[0] == 0 else float(low), math.inf if percentiles[1] == 100 else float(high))
