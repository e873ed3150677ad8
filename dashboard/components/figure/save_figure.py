"""Two buttons that save a figure, as the reader sees it, to a PNG or SVG file; the browser draws both by itself."""

from __future__ import annotations

import streamlit as st

from dashboard.components.assets import script, text_of

_HTML = '<button type="button" data-format="png">PNG</button><button type="button" data-format="svg">SVG</button>'


def save_figure(key: str, name: str, title: str) -> None:
    """Draw the buttons for the figure in the container ``key``; ``name`` is the file's, ``title`` says which figure."""
    st.components.v2.component(
        "lsi_save_figure",
        html=_HTML,
        css=text_of("components/figure/save_figure.css"),
        js=script("save_figure"),
    )(key=f"save_{key}", data={"figure": f"st-key-{key}", "name": name, "title": title}, width="content")
