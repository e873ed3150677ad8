"""Gallery: the two ends of every class side by side, or every sample in the order of one score."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import words
from dashboard.components import bulk
from dashboard.components.caveat import caveat
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.components.ranking import order, ranked, rankings
from dashboard.data import RunData
from dashboard.navigation import open_sample
from dashboard.view.selection import Selection, current_selection
from lsi_engine.scores.column import Column

PAGE_SIZES = [30, 60, 120, 240]
#: Classes on one page of the view by class.
CLASSES_SHOWN = 10
TILE_PIXELS = {"Small": 84, "Medium": 120, "Large": 210}
#: Tiles in a row at each end of a class.
ENDS = {"Small": 7, "Medium": 5, "Large": 3}
#: The same for texts and rows of figures, which need room to be read.
TEXT_PIXELS = {"Small": 160, "Medium": 230, "Large": 400}
TEXT_ENDS = {"Small": 4, "Medium": 3, "Large": 2}


def render() -> None:
    selection = current_selection()
    doubt = st.container(key="gallery_caveat")
    if not selection.mask.any():
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="gallery_controls"):
        layout = _switch("Show", ["By class", "Grid"], "By class", "layout")
        size = _switch("Tiles", list(TILE_PIXELS), "Medium", "tiles")
        sections = _by_class(selection, size) if layout == "By class" else _grid(selection)
    sorted_by = rankings(selection.frame).get(str(st.session_state.get("sort")))
    if layout == "Grid" and sorted_by is not None and sorted_by.high in ("suspicious", "safe"):
        with doubt:
            caveat(selection.data)
    above = st.container(key="gallery_bulk")
    event = gallery(
        selection.data,
        selection.frame,
        sections,
        key="gallery_tiles",
        tile_pixels=(TILE_PIXELS if _pictured(selection.data) else TEXT_PIXELS)[size],
        selectable=True,
        framed=layout == "By class",
        epoch=bulk.epoch(),
    )
    with above:
        bulk.bar(selection.data, event.selected)
    if event.opened:
        open_sample(event.opened)


def _pictured(data: RunData) -> bool:
    return data.run.modality in ("image", "pairs")


def _switch(label: str, options: list[str], default: str, key: str) -> str:
    return str(
        st.segmented_control(
            label,
            options,
            default=default,
            required=True,
            key=key,
            bind="query-params",
            label_visibility="collapsed",
        )
        or default
    )


def _by_class(selection: Selection, size: str) -> list[Section]:
    """Lowest and highest LSI of each class that the view shows, in the order of the run's classes."""
    data = selection.data
    rising = order(data, "lsi", descending=False)
    rising = rising[selection.mask[rising]]
    codes = selection.codes[rising]
    present = [code for code in range(len(data.classes)) if (codes == code).any()]
    rows = st.selectbox(
        "Rows",
        [1, 2, 3, 4],
        format_func=lambda n: f"{n} row{'s' * (n > 1)}",
        key="gallery_rows",
        width=105,
        label_visibility="collapsed",
    )
    page = _pages(len(present), CLASSES_SHOWN, "gallery_class_page", "classes")
    columns = (ENDS if _pictured(data) else TEXT_ENDS)[size]
    count = columns * int(rows)
    sections = []
    for code in present[page * CLASSES_SHOWN : (page + 1) * CLASSES_SHOWN]:
        members = rising[codes == code]
        # A class with few samples is split in two, so that no sample appears at both ends.
        low = members[: min(count, math.ceil(len(members) / 2))]
        high = members[::-1][: min(count, len(members) // 2)]
        sections.append(
            Section(
                [Group(low, "Typical: lowest LSI", columns), Group(high, "Unusual: highest LSI", columns)],
                data.classes[code],
                data.colours[data.classes[code]],
                f"{words.count(len(members))} {data.nouns[1 if len(members) != 1 else 0]}",
            )
        )
    return sections


def _grid(selection: Selection) -> list[Section]:
    """One page of all samples that the view keeps, by one score."""
    choices = rankings(selection.frame)
    chosen = choices[
        st.selectbox(
            "Sort by",
            list(choices),
            key="sort",
            width=165,
            bind="query-params",
            label_visibility="collapsed",
        )
    ]
    direction = _switch("First", ["Highest", "Lowest"], "Highest", "first")
    per_page = int(
        st.selectbox(
            "On a page",
            PAGE_SIZES,
            index=1,
            format_func=lambda n: f"{n} a page",
            key="gallery_page_size",
            width=130,
            label_visibility="collapsed",
        )
    )
    rows = ranked(selection, chosen.name, descending=direction == "Highest")
    _jump(selection, rows, per_page)
    page = _pages(len(rows), per_page, "gallery_page", selection.data.nouns[1])
    shown = rows[page * per_page : (page + 1) * per_page]
    return [Section([Group(shown, _span(selection, chosen, shown, page * per_page, len(rows)))])]


def _span(selection: Selection, chosen: Column, shown: NDArray[np.intp], start: int, total: int) -> str:
    values = selection.frame[chosen.name].to_numpy()[shown]
    return (
        f"{words.count(start + 1)} to {words.count(start + len(shown))} of {words.count(total)} · "
        f"{chosen.title} {words.number(float(values[0]))} to {words.number(float(values[-1]))} · "
        f"high means: {chosen.first}"
    )


def _jump(selection: Selection, rows: NDArray[np.intp], per_page: int) -> None:
    """Go to the page that holds a percentile of the shown order."""

    def jump() -> None:
        wanted = st.session_state["gallery_jump"]
        if wanted is None:
            return
        percentiles = selection.frame["percentile"].to_numpy()[rows]
        nearest = int(np.argmin(np.abs(percentiles - wanted)))
        st.session_state["gallery_page"] = nearest // per_page
        st.session_state["gallery_jump"] = None

    st.number_input(
        "Go to LSI percentile",
        0.0,
        100.0,
        value=None,
        step=1.0,
        format="%.1f",
        placeholder="Percentile",
        label_visibility="collapsed",
        key="gallery_jump",
        on_change=jump,
        width=175,
        help="Shows the page with the sample whose LSI lies nearest to this percentile of the run.",
    )


def _pages(total: int, per_page: int, key: str, many: str) -> int:
    """Draw first, back, the place, next, last and return the page (from 0); nothing when one page is enough."""
    last = max(math.ceil(total / per_page) - 1, 0)
    page = min(int(st.session_state.get(key, 0)), last)
    st.session_state[key] = page
    if last == 0:
        return 0

    def go(to: int) -> None:
        st.session_state[key] = to

    steps = (("« First", 0), ("‹ Back", page - 1), ("", page), ("Next ›", page + 1), ("Last »", last))
    with st.container(horizontal=True, vertical_alignment="center", gap="xxsmall", key=f"pages_{key}", width="content"):
        for name, to in steps:
            if not name:
                place = f"{many.capitalize()} page {page + 1:,} of {last + 1:,}"
                st.html(f'<span class="lsi-count" role="status">{place}</span>', width="content")
                continue
            shut = not 0 <= to <= last or to == page
            st.button(name, key=f"{key}_{name}", disabled=shut, on_click=go, args=(to,))
    return page
