"""Tiles of samples: picture or text, given and suggested label, percentile, decision. Click opens, select in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import words
from dashboard.components.assets import script, text_of
from dashboard.components.media import image_url
from dashboard.data import RunData

#: Icon and word of each decision; never told apart by colour alone.
DECISION_BADGES = {
    "keep": ("✓", "kept"),
    "relabel": ("⇄", "relabelled"),
    "drop": ("✕", "dropped"),
    "unsure": ("?", "unsure"),
}
#: A text tile shows the beginning of its text, up to this many characters.
TEXT_SHOWN = 600


@dataclass(frozen=True)
class Group:
    """Tiles under one caption; ``rows (n,)`` are row numbers in the run's frame, in the order shown."""

    rows: NDArray[np.integer]
    caption: str = ""
    columns: int | None = None


@dataclass(frozen=True)
class Section:
    """Groups side by side under one title."""

    groups: Sequence[Group]
    title: str = ""
    colour: str = ""
    note: str = ""


@dataclass
class GalleryEvent:
    """What the reader did: ``opened`` is a sample id or None, ``selected`` the ids that are ticked now."""

    opened: str | None = None
    selected: list[str] = field(default_factory=list)


def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "lsi_gallery",
        html='<div class="gallery"></div>',
        css=text_of("components/tiles/tiles.css", "components/gallery/gallery.css"),
        js=script("gallery"),
    )


def tile(data: RunData, frame: pd.DataFrame, row: int, size: str = "192") -> dict[str, Any]:
    """One sample as the component draws it; ``frame`` is ``frame_with_decisions(data)``."""
    sample = frame.iloc[row]
    sample_id, given = str(sample["sample_id"]), str(sample["label"])
    suggested = sample["suggested_label"]
    decision = DECISION_BADGES.get(str(sample["decision"]))
    made: dict[str, Any] = {
        "id": sample_id,
        "href": "sample?" + urlencode({"run": data.run.name, "sample": sample_id}),
        "alt": f"{data.nouns[0]} {sample_id}, labelled {given}",
        "given": label_of(data, given),
        "suggested": None if pd.isna(suggested) else label_of(data, str(suggested)),
        "percentile": f"p{sample['percentile']:.1f}",
        "decision": None if decision is None else dict(zip(("icon", "text"), decision, strict=True)),
    }
    if data.pairs:
        made |= {
            "src": image_url(data.run, sample_id, size),
            "said": str(sample["text"])[:TEXT_SHOWN],
            "alt": f"image of pair {sample_id}",
            "unlabelled": len(data.classes) == 1,
        }
    elif data.run.modality == "image":
        made["src"] = image_url(data.run, sample_id, size)
    elif "text" in frame:
        made["text"] = str(sample["text"])[:TEXT_SHOWN]
    else:
        made["facts"] = [
            ("Sample", str(sample["name"])),
            ("LSI", words.number(float(sample["lsi"]))),
            ("Suspicion", words.number(float(sample["suspicion"]), 2)),
            ("Margin", words.number(float(sample["margin"]), 2)),
        ]
    return made


def gallery(
    data: RunData,
    frame: pd.DataFrame,
    sections: Sequence[Section],
    *,
    key: str,
    tile_pixels: int = 120,
    selectable: bool = False,
    framed: bool = True,
    epoch: int = 0,
) -> GalleryEvent:
    """Draw the sections and return what the reader did with them.

    Only the tiles shown are looked up and sent. A new ``epoch`` empties the selection.
    """
    size = "192" if tile_pixels <= 150 else "384"
    drawn = [
        {
            "title": section.title,
            "colour": section.colour,
            "note": section.note,
            "groups": [
                {
                    "caption": group.caption,
                    "columns": group.columns,
                    "tiles": [tile(data, frame, int(row), size) for row in group.rows],
                }
                for group in section.groups
            ],
        }
        for section in sections
    ]
    content = {
        "tile": tile_pixels,
        "selectable": selectable,
        "framed": framed,
        "epoch": epoch,
        "sections": drawn,
    }
    result = _component()(
        key=key,
        data=content,
        default={"selected": []},
        on_open_change=lambda: None,
        on_selected_change=lambda: None,
    )
    frame_ids = frame["sample_id"]
    shown = {str(frame_ids.iloc[row]) for section in sections for group in section.groups for row in group.rows}
    return GalleryEvent(result.open, [sample for sample in result.selected or [] if sample in shown])


def label_of(data: RunData, name: str) -> dict[str, Any]:
    """A class as the components draw it."""
    return {"name": name, "colour": data.colours.get(name, "#7f7f7f")}
