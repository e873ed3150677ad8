"""Overview: how much each sample tells the probe, and where to look first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.charts.chart import Chart
from dashboard.charts.class_summary import ranking_sentence
from dashboard.charts.ecdf import ecdf
from dashboard.charts.histogram import histogram, selected_range, shaded
from dashboard.charts.rank import rank_plot, selected_scores
from dashboard.charts.violins import MOST_VIOLINS, by_class
from dashboard.components import show
from dashboard.components.caveat import caveat, skill_card
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.components.headlines import headlines
from dashboard.components.pair_panel import no_classes
from dashboard.navigation import open_sample
from dashboard.summaries import chart_of, ordered_lsi, summary_of
from dashboard.view.selection import Selection, current_selection
from dashboard.view.view import update_view

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
READING_PAIRS = """
**LSI** (Laplace sample information, in nats) asks: *how far would the belief about the two heads' weights move if this
pair had been left out?* **Low** means that the other pairs already say the same. **High** means that nothing else says
it: a rare scene, an unusual caption, or a caption of another image. High is not bad.

**Suspicion** (0 to 1) asks only whether image and caption belong together: *how little do heads that never saw this
pair match them, among all pairs?* With few pairs, or encoders that know little of each other, it is high for all:
compare pairs with one another by it, and do not read it as a probability of being wrong.
"""


def render() -> None:
    selection = current_selection()
    caveat(selection.data)
    if not selection.mask_any_lsi.any():
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
    left, right = st.columns(2, gap="small")
    with left:
        skill_card(selection.data)
    with right, show.card("reading", "Reading the numbers"):
        st.markdown(READING_PAIRS if selection.data.pairs else READING.format(one=selection.data.nouns[0]))


def _headlines(selection: Selection) -> None:
    numbers = headlines(selection)
    for column, line in zip(st.columns(len(numbers), gap="small"), numbers, strict=True):
        with column:
            show.headline(line.key, line.name, line.value, line.note)


def tail_chart(selection: Selection) -> Chart:
    data, mask = selection.data, selection.mask_any_lsi

    def draw() -> Chart:
        return histogram(selection.lsi[mask], selection.codes[mask], data.classes, data.colours, noun=data.nouns[1])

    return chart_of(selection, "histogram", draw)


def _long_tail(selection: Selection) -> None:
    many = selection.data.nouns[1]
    sentence = (
        f"Most {many} add little that the others do not already say; a few add a great deal: rare, badly recorded "
        "or wrongly labelled. Drag over the bars to filter every page."
    )

    def choose(box: dict[str, list[float]] | None) -> None:
        if box:
            update_view(lsi=selected_range(box, selection.lsi[selection.mask_any_lsi]))

    with show.card("tail", "The long tail", sentence):
        show.figure(shaded(tail_chart(selection), selection.view.lsi), "tail", on_box=choose)


def _classes_shown(summary: pd.DataFrame) -> pd.DataFrame:
    if len(summary) <= MOST_VIOLINS:
        return summary
    return pd.concat([summary.head(5), summary.tail(5)], ignore_index=True)


def class_chart(selection: Selection) -> Chart:
    data, mask = selection.data, selection.mask_any_lsi
    shown = _classes_shown(summary_of(selection))

    def draw() -> Chart:
        lsi, codes = selection.lsi[mask], selection.codes[mask]
        return by_class(lsi, codes, data.classes, data.colours, shown, noun=data.nouns[1], height=330, compact=True)

    return chart_of(selection, "by class, compact", draw)


def _classes(selection: Selection) -> None:
    if no_classes(selection.data):
        return
    summary = summary_of(selection)
    with show.card("by_class", "By class", ranking_sentence(summary) or "One class only."):
        if len(_classes_shown(summary)) < len(summary):
            st.caption(f"The five lowest and five highest of {len(summary)} classes; the Classes page has them all.")
        show.figure(class_chart(selection), "by_class")


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
        "strip",
        "Most informative, undecided",
        "Click to open." if data.pairs else f"Given label → what the other {data.nouns[1]} suggest. Click to open.",
    ):
        tiles = [Section([Group(rows, columns=STRIP)])]
        event = gallery(data, selection.frame, tiles, key="overview_strip", tile_pixels=118, framed=False)
        if event.opened:
            open_sample(event.opened)


def rank_chart(selection: Selection) -> Chart:
    limits = selection.view.lsi
    cut = limits[0] if limits and np.isinf(limits[1]) else None

    def draw() -> Chart:
        return rank_plot(ordered_lsi(selection), cut=cut, noun=selection.data.nouns[1])

    return chart_of(selection, "rank", draw, cut)


def _ranks(selection: Selection) -> None:
    def choose(box: dict[str, list[float]] | None) -> None:
        if box:
            update_view(lsi=selected_scores(box, ordered_lsi(selection)))

    many = selection.data.nouns[1]
    with show.card("rank", "By rank", f"Where the tail ends. Drag from the left to keep the highest {many}."):
        show.figure(rank_chart(selection), "rank", on_box=choose)


def sum_chart(selection: Selection) -> Chart:
    return chart_of(selection, "ecdf", lambda: ecdf(ordered_lsi(selection), noun=selection.data.nouns[1]))


def _cumulative(selection: Selection) -> None:
    with show.card("ecdf", "Adding up", "The wider the gap between the curves, the fewer samples carry the rest."):
        show.figure(sum_chart(selection), "ecdf")
