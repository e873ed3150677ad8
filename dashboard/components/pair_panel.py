"""An image and its caption on the sample page, and the pair that would fit the image better."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.components import show
from dashboard.components.media import image_url
from dashboard.components.probabilities import percent
from dashboard.data import RunData

#: What a review says of a pair whose image is fine; the pair is dropped with this note.
CAPTION_WRONG = "caption wrong"


def pair_picture(data: RunData, sample: pd.Series) -> None:
    """The image with its caption below, and the caption that was there before a swap on purpose."""
    sample_id = str(sample["sample_id"])
    source = words.escape(image_url(data.run, sample_id, "full"))
    caption = words.escape(str(sample["text"]))
    st.html(
        '<figure style="background:#1f2227;border-radius:12px;padding:14px;color:#d5dae0;font-size:.85rem;margin:0">'
        f'<div style="margin-bottom:10px">{words.escape(sample_id)}</div>'
        f'<a href="{source}" target="_blank" title="Open in full size in a new tab">'
        f'<img src="{source}" alt="image of pair {words.escape(sample_id)}" '
        'style="display:block;width:100%;max-height:60vh;object-fit:contain;border-radius:4px"></a>'
        '<figcaption dir="auto" style="font-size:1.15rem;line-height:1.45;color:#fff;padding:12px 2px 2px;'
        f'unicode-bidi:plaintext;overflow-wrap:anywhere">{caption}</figcaption></figure>'
    )


def pair_facts(data: RunData, frame: pd.DataFrame, row: int) -> None:
    """How well image and caption find each other without the pair, and what they would rather have."""
    sample = frame.iloc[row]
    rival = sample["suggested_pair"]
    st.markdown(
        f"Among {words.count(len(frame))} pairs, heads trained without this one match its image and its caption with "
        f"probability **{percent(float(sample['loo_probability']))}** (chance: {percent(1 / len(frame))})."
    )
    if pd.isna(rival):
        st.caption("No other pair fits better.")
        return
    at = data.row(str(rival))
    if at is None:
        return
    left, right = st.columns([1, 3], vertical_alignment="center")
    with left:
        source = words.escape(image_url(data.run, str(rival), "192"))
        st.html(
            f'<img src="{source}" alt="image of pair {words.escape(str(rival))}" style="width:100%;border-radius:6px">'
        )
    with right:
        more = percent(float(sample["loo_probability"] - sample["margin"]))
        st.caption(f"Fits better ({more}), pair {words.markdown(str(rival))}:")
        st.markdown(words.markdown(str(frame["text"].iloc[at])))


def no_classes(data: RunData) -> bool:
    """Say that a page of classes has nothing to show for pairs without labels; False when there are classes."""
    if not data.pairs or len(data.classes) > 1:
        return False
    with show.card("no_classes", "These pairs have no classes"):
        st.markdown(
            "Image–caption pairs are told apart from one another, not by class, so there is nothing to rank here. The "
            "**Gallery** shows both ends of the LSI, **Review** the pairs whose image and caption do not find each "
            "other. COCO captions get classes when the run is computed with `--instances instances_….json`."
        )
    return True
