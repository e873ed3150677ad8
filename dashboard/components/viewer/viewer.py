"""The large picture of one sample: zoom, pan, 1:1, invert, beside typical samples in step.

What has more than 8 bits of grey gets a window (centre and width, presets), the rest brightness and contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard.components.assets import script, text_of
from dashboard.components.media import deep_url, image_url, is_pixel_art
from dashboard.components.neighbours import nearest_typical
from dashboard.data import RunData


def viewer(data: RunData, row: int, labels: Sequence[str]) -> None:
    """Draw the sample at ``row``; the nearest typical sample of each of ``labels`` can be put beside it."""
    sample = str(data.frame["sample_id"].iloc[row])
    panes = [_pane(data, row, f"{sample}, labelled {data.frame['label'].iloc[row]}", link=False)]
    for label in labels:
        near = nearest_typical(data, row, label, 1)
        if near:
            panes.append(_pane(data, near[0], f"typical {label}", link=True))
    component = st.components.v2.component(
        "lsi_viewer",
        html=text_of("components/viewer/viewer.html"),
        css=text_of("components/viewer/viewer.css"),
        js=script("viewer"),
    )
    component(key="viewer", data={"panes": panes, "tiny": is_pixel_art(data.run)})


def _pane(data: RunData, row: int, title: str, *, link: bool) -> dict[str, Any]:
    sample = str(data.frame["sample_id"].iloc[row])
    return {
        "src": image_url(data.run, sample, "full"),
        "deep": deep_url(data.run, sample),
        "title": title,
        "alt": f"{data.nouns[0]} {sample}, labelled {data.frame['label'].iloc[row]}",
        "href": "sample?" + urlencode({"run": data.run.name, "sample": sample}) if link else None,
    }
