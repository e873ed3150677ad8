"""The queue many at a time: tick what differs, decide the rest with one press."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import words
from dashboard.components import bulk
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.navigation import open_sample
from dashboard.view.selection import Selection

#: Tiles on the screen at once.
TILES = 24
COLUMNS = 8


def review_grid(selection: Selection, waiting: NDArray[np.intp]) -> None:
    """Draw the first of the ``waiting`` rows, with what can be said of all of them, or of all but the ticked."""
    data, frame = selection.data, selection.frame
    if not len(waiting):
        st.info(f"Nothing left in this queue: every {data.nouns[0]} that it and the filters keep is decided.")
        bulk.bar(data, [], asks_name=False)
        return
    shown = waiting[:TILES]
    above = st.container(key="review_grid_bar")
    event = gallery(
        data,
        frame,
        [Section([Group(shown, columns=COLUMNS if data.run.modality != "text" else 4)])],
        key="review_grid_tiles",
        tile_pixels=150,
        selectable=True,
        framed=False,
        epoch=bulk.epoch(),
    )
    ticked = set(event.selected)
    ids = frame["sample_id"].iloc[shown].tolist()
    rest = [sample for sample in ids if sample not in ticked]
    seen = bulk.revisions_of(data, rest)
    with above:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="review_grid_rest"):
            which = f"the {len(rest)} not ticked" if ticked else f"all {len(rest)}"
            st.button(
                f"✓ Keep {which}",
                key="grid_keep",
                type="primary",
                shortcut="K",
                disabled=not rest,
                on_click=bulk.decide,
                args=(data, rest, "keep", seen),
            )
            if not data.pairs:
                suggested = frame["suggested_label"].iloc[shown[[sample not in ticked for sample in ids]]]
                able = [sample for sample, label in zip(rest, suggested.notna(), strict=True) if label]
                labels = {str(one): str(label) for one, label in zip(rest, suggested, strict=True)}
                st.button(
                    f"⇄ Relabel {which} as suggested",
                    key="grid_suggested",
                    shortcut="S",
                    disabled=not able,
                    help=words.markdown("Those for which another label is suggested; the others stay in the queue."),
                    on_click=bulk.decide,
                    args=(data, able, "relabel", seen, labels),
                )
        bulk.bar(data, sorted(ticked), asks_name=False)
    if event.opened:
        open_sample(event.opened)
