"""How pages put things on screen: a white card, a figure with its table, a headline number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from dashboard import words
from dashboard.charts.chart import Chart
from dashboard.components.figure.save_figure import save_figure
from dashboard.view.view import current_view

#: Plotly's own toolbar, without what a figure of counts has no use for, and without its camera: ours has two formats.
_REMOVED = ["toImage", "lasso2d", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]


@contextmanager
def card(key: str, title: str = "", sentence: str = "") -> Iterator[None]:
    """A white card with a title and one plain sentence; ``key`` is unique on the page."""
    with st.container(border=True, key=f"card_{key}", height="stretch"):
        if title or sentence:
            head = f"<h3>{words.escape(title)}</h3>" if title else ""
            body = f"<p>{words.escape(sentence)}</p>" if sentence else ""
            st.html(f'<div class="lsi-head">{head}{body}</div>')
        yield


def headline(key: str, name: str, value: str, note: str) -> None:
    """One headline number; ``note`` says what it counts."""
    with st.container(border=True, key=f"card_headline_{key}", height="stretch"):
        st.html(
            f'<div class="lsi-headline"><span>{words.escape(name)}</span><b>{words.escape(value)}</b>'
            f"<small>{words.escape(note)}</small></div>"
        )


def figure(
    chart: Chart,
    key: str,
    *,
    on_box: Callable[[dict[str, list[float]] | None], None] | None = None,
) -> None:
    """Draw ``chart`` with its table behind a button and, beside it, buttons that save it as PNG or SVG.

    ``on_box`` is called with the box that the reader dragged (``{"x": [a, b], "y": [c, d]}`` in axis units), or
    None when they took it away; it may change the view.
    """
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": _REMOVED if on_box else [*_REMOVED, "select2d"],
    }

    def selected() -> None:
        boxes = st.session_state[f"figure_{key}"]["selection"]["box"]
        if on_box:
            on_box(boxes[-1] if boxes else None)

    selection: dict[str, Any] = {"on_select": selected, "selection_mode": "box"} if on_box else {}
    st.plotly_chart(chart.figure, key=f"figure_{key}", config=config, alt=chart.alt, **selection)
    with st.container(key=f"numbers_{key}", horizontal=True, vertical_alignment="center", gap="xxsmall"):
        with st.popover("Numbers", type="tertiary"):
            st.caption(words.markdown(chart.alt))
            st.dataframe(chart.table, hide_index=True, height=min(320, 38 + 35 * max(len(chart.table), 1)))
        save_figure(f"figure_{key}", _file_name(key), key.replace("_", " "))


def _file_name(key: str) -> str:
    """Run, figure, and whether conditions narrowed it; all of it fit for a file's name."""
    view = current_view()
    return "-".join([view.run or "lsi", key.replace("_", "-"), *(["filtered"] if view.conditions else [])])
