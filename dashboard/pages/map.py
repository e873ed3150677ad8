"""Map: every sample as a point; near means alike to the probe's features. Draw around points to filter every page."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
import streamlit as st

from dashboard import jobs, words
from dashboard.components import background, show
from dashboard.components.map.points import COLOURS, drawn_rows, legend, point_map
from dashboard.data import RunData, coordinates, decisions
from dashboard.navigation import open_sample
from dashboard.view.selection import Selection, current_selection
from dashboard.view.view import update_view
from lsi_engine.errors import InputError
from lsi_engine.runs.artefacts.projection import KINDS, MOST_PLACED, Kind, map_folder, project
from lsi_engine.runs.store import RunStore

#: Up to so many samples a PCA is computed when the page is opened.
AT_ONCE = 60_000
STAGES = {
    "features": "reading the features",
    "components": "finding the main directions",
    "neighbours": "finding neighbours",
    "layout": "laying out",
    "placing": "placing the rest",
}


def render() -> None:
    selection = current_selection()
    data, view = selection.data, selection.view
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="map_controls"):
        kind = cast(Kind, _switch("Layout", {name: name.upper() for name in KINDS}, "pca", "layout_of_map"))
        colour = _switch("Colour", COLOURS, "lsi", "colour")
        _legend(data, colour)
    if coordinates(data, kind) is None:
        if kind == "umap" or len(data.frame) > AT_ONCE:
            _compute(data, kind)
            return
        if not _principal(data):
            return

    def draw() -> None:
        corners = st.session_state["map"].get("lasso")
        if corners and len(corners) > 2:
            update_view(lasso=(kind, tuple((float(x), float(y)) for x, y in corners)))

    shown = selection.mask if view.conditions else None
    result = point_map(
        data, kind, colour, shown=shown, lasso=view.lasso, version=decisions(data).version(), key="map", on_lasso=draw
    )
    _about(data, kind)
    _numbers(selection, kind)
    if result.open:
        open_sample(str(result.open))


def _switch(label: str, options: dict[str, str], default: str, key: str) -> str:
    chosen = st.segmented_control(
        label,
        list(options),
        format_func=lambda name: options[name],
        default=default,
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return str(chosen or default)


def _legend(data: RunData, colour: str) -> None:
    dots = [
        f'<span style="white-space:nowrap"><i style="display:inline-block;width:.7em;height:.7em;border-radius:50%;'
        f'background:{tint};margin-right:.35em"></i>{words.escape(words.shortened(name, 24))}</span>'
        for name, tint in list(legend(data, colour))[:14]
    ]
    st.html(f'<span class="lsi-count" style="display:flex;flex-wrap:wrap;gap:.2em 1em">{"".join(dots)}</span>')


def _principal(data: RunData) -> bool:
    """Compute the PCA of a run that is small enough for it to take seconds."""
    try:
        with st.spinner("Finding the two main directions of the features …"):
            project(data.run, RunStore().cache, "pca")
    except (InputError, OSError) as error:
        st.info(words.markdown(f"There is no map of this run: {error}"))
        return False
    return True


def _compute(data: RunData, kind: Kind) -> None:
    """Start a map in the background and watch it; the page shows the map when it is there."""
    folder = map_folder(data.run)
    sentence = "Computed once, in the background, and kept with the run."
    if kind == "umap" and coordinates(data, "pca") is not None:
        sentence += " PCA is there meanwhile."
    with show.card("map_missing", kind.upper(), sentence):
        if background.is_going(folder):
            background.watch(folder, "Map", STAGES, "map")
            return
        if ended := background.problem(folder):
            st.warning(words.markdown(ended))
        begin = functools.partial(jobs.start_map, data.run, kind=kind)
        st.button("Compute the map", type="primary", key="map_start", on_click=begin)


def _numbers(selection: Selection, kind: Kind) -> None:
    """The points that the view shows, as a table; made when it is opened, for it may have 100 000 rows."""
    opened = st.popover("Numbers", key="map_numbers", on_change="rerun")
    points = coordinates(selection.data, kind)
    if not opened.open or points is None:
        return
    drawn = drawn_rows(points)
    rows = drawn[selection.mask[drawn]]
    table = selection.frame.iloc[rows][["sample_id", "label", "lsi", "suspicion", "decision"]]
    with opened:
        st.caption(f"{words.count(len(rows))} points: their place on the map, from 0 to 1, and what colours them.")
        st.dataframe(table.assign(x=points[rows, 0], y=points[rows, 1]), hide_index=True, height=320)


def _about(data: RunData, kind: Kind) -> None:
    points = coordinates(data, kind)
    left_out = 0 if points is None else int(np.isnan(points[:, 0]).sum())
    said = "The two directions in which the features vary most."
    if kind == "umap":
        said = "Neighbours stay neighbours; distances between groups mean little."
    if kind == "umap" and not left_out and len(data.frame) > MOST_PLACED:
        said += (
            f" {words.count(MOST_PLACED)} evenly spaced {data.nouns[1]} are laid out, each of the others lies among "
            "those whose features are nearest to its own."
        )
    if left_out:
        said += (
            f" {words.count(MOST_PLACED)} evenly spaced {data.nouns[1]} are placed, {words.count(left_out)} left out."
        )
    drawn = 0 if points is None else len(drawn_rows(points))
    if drawn < len(data.frame) - left_out:
        said += f" {words.count(drawn)} evenly spaced points are drawn; an area takes in all that lie in it."
    st.caption(f"{said} Drag around points to filter every page; the wheel zooms, Shift-drag moves, a click opens.")
