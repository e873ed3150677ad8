"""Overview: how much each sample tells the probe, and where to look first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import show, words
from dashboard.charts.class_summary import ranking_sentence
from dashboard.charts.ecdf import ecdf, top_share
from dashboard.charts.histogram import histogram, selected_range
from dashboard.charts.rank import rank_plot, selected_scores
from dashboard.charts.violins import MOST_VIOLINS, by_class
from dashboard.components.gallery import Group, Section, gallery
from dashboard.components.links import open_sample
from dashboard.selection import DOUBT, Selection, current_selection
from dashboard.state import update_view
from dashboard.summaries import summary_of

#: Tiles in the strip of samples to look at first.
STRIP = 9
READING = """
**LSI** (Laplace sample information, in nats) asks: *how far would the probe's belief about its weights move if this
one {one} had been left out?* **Low** means that the others already say the same: typical, redundant, safe to
thin out. **High** means that nothing else says it: rare, atypical, badly recorded, or wrongly labelled.
High is not bad: a rare but correct {one} is the most useful kind there is.

**Suspicion** (0 to 1) asks only about the label: *how little does a probe that never saw this {one} believe its given
label?* An odd {one} with a plain label has high LSI and low suspicion; a mislabelled one usually has both.
Rank by LSI to find what the data set hinges on, by suspicion to find labels to check.
"""


def render() -> None:
    selection = current_selection()
    if not selection.mask_any_lsi.any():
        st.info(f"No {selection.data.nouns[0]} meets these conditions. Remove one above.")
        return
    _headlines(selection)
    wide, narrow = st.columns([2, 1], gap="small")
    with wide:
        _long_tail(selection)
    with narrow:
        _classes(selection)
    _most_informative(selection)
    left, right = st.columns(2, gap="small")
    with left:
        _ranks(selection)
    with right:
        _cumulative(selection)
    with show.card("reading", "Reading the numbers"):
        st.markdown(READING.format(one=selection.data.nouns[0]))


def _headlines(selection: Selection) -> None:
    frame, mask = selection.frame, selection.mask
    shown = int(mask.sum())
    many = selection.data.nouns[1]
    total = len(frame)
    reviewed = int((mask & (frame["decision"] != "undecided").to_numpy()).sum())
    suspected = int((mask & selection.suspected).sum())
    numbers = [
        ("n", many.capitalize(), words.count(shown), "all of them" if shown == total else f"of {words.count(total)}"),
        (
            "top",
            "Held by the top 1 %",
            f"{top_share(selection.lsi[mask]):.0%}" if shown else "–",
            "of the sum of all LSI",
        ),
        (
            "suspects",
            "Suspected mislabels",
            words.count(suspected),
            f"suspicion > {DOUBT}, another label suggested",
        ),
        ("reviewed", "Reviewed", words.count(reviewed), f"{words.count(shown - reviewed)} undecided"),
    ]
    reliability = selection.data.provenance.get("engine", {}).get("reliability")
    if reliability is not None:
        numbers.insert(3, ("reliability", "Reliability", words.number(reliability, 2), "rank agreement between seeds"))
    for column, line in zip(st.columns(len(numbers), gap="small"), numbers, strict=True):
        with column:
            show.headline(*line)


def _long_tail(selection: Selection) -> None:
    mask, many = selection.mask_any_lsi, selection.data.nouns[1]
    scores = selection.lsi[mask]
    sentence = (
        f"Most {many} add little that the others do not already say; a few add a great deal: rare, badly recorded "
        "or wrongly labelled. Drag over the bars to filter every page."
    )
    with show.card("tail", "The long tail", sentence):
        chart = histogram(
            scores,
            selection.codes[mask],
            selection.data.classes,
            selection.data.colours,
            selected=selection.view.lsi,
            noun=many,
        )

        def choose(box: dict[str, list[float]] | None) -> None:
            if box:
                update_view(lsi=selected_range(box, scores))

        show.figure(chart, "tail", on_box=choose)


def _classes(selection: Selection) -> None:
    data, mask = selection.data, selection.mask_any_lsi
    summary = summary_of(selection)
    sentence = ranking_sentence(summary) or "One class only."
    with show.card("by_class", "By class", sentence):
        if len(summary) <= MOST_VIOLINS:
            chart = by_class(
                selection.lsi[mask],
                selection.codes[mask],
                data.classes,
                data.colours,
                summary,
                noun=data.nouns[1],
                height=330,
                compact=True,
            )
        else:
            ends = pd.concat([summary.head(5), summary.tail(5)], ignore_index=True)
            chart = by_class(
                selection.lsi[mask],
                selection.codes[mask],
                data.classes,
                data.colours,
                ends,
                noun=data.nouns[1],
                height=330,
                compact=True,
            )
            st.caption(f"The five lowest and five highest of {len(summary)} classes; the Classes page has them all.")
        show.figure(chart, "by_class")


def _most_informative(selection: Selection) -> None:
    """The first samples that a reviewer would be shown: highest LSI among the undecided."""
    data = selection.data
    undecided = np.flatnonzero(selection.mask & (selection.frame["decision"] == "undecided").to_numpy())
    if not len(undecided):
        return
    most = min(STRIP, len(undecided))
    scores = selection.lsi[undecided]
    highest = np.argpartition(-scores, most - 1)[:most]
    rows = undecided[highest[np.argsort(-scores[highest], kind="stable")]]
    with show.card(
        "strip", "Most informative, undecided", f"Given label → what the other {data.nouns[1]} suggest. Click to open."
    ):
        tiles = [Section([Group(rows, columns=STRIP)])]
        event = gallery(data, selection.frame, tiles, key="overview_strip", tile_pixels=118, framed=False)
        if event.opened:
            open_sample(event.opened)


def _ranks(selection: Selection) -> None:
    scores, many = selection.lsi[selection.mask_any_lsi], selection.data.nouns[1]
    limits = selection.view.lsi
    cut = limits[0] if limits and np.isinf(limits[1]) else None
    with show.card("rank", "By rank", f"Where the tail ends. Drag from the left to keep the highest {many}."):

        def choose(box: dict[str, list[float]] | None) -> None:
            if box:
                update_view(lsi=selected_scores(box, scores))

        show.figure(rank_plot(scores, cut=cut, noun=many), "rank", on_box=choose)


def _cumulative(selection: Selection) -> None:
    scores, many = selection.lsi[selection.mask_any_lsi], selection.data.nouns[1]
    with show.card("ecdf", "Adding up", "The wider the gap between the curves, the fewer samples carry the rest."):
        show.figure(ecdf(scores, noun=many), "ecdf")
