"""Classes: which classes carry the most information, and how sure that ranking is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.charts.chart import Chart
from dashboard.charts.class_summary import ranking_sentence, reading
from dashboard.charts.sweep import class_shift
from dashboard.charts.violins import MOST_RIDGES, MOST_VIOLINS, by_class
from dashboard.components import show
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.components.pair_panel import no_classes
from dashboard.data import sweep
from dashboard.navigation import open_sample
from dashboard.summaries import chart_of, summary_of
from dashboard.view.selection import DOUBT, Selection, current_selection

#: Tiles of a class at each end, and their size (pixels): pictures are many and small, words need room.
STRIP = {"image": (6, 96), "pairs": (6, 96), "text": (3, 200), "features": (3, 200)}
#: Rows of quantile dots on screen at once.
MOST_DOTS = 60


def render() -> None:
    selection = current_selection()
    if not selection.mask_any_lsi.any():
        return
    if no_classes(selection.data):
        return
    summary = summary_of(selection)
    with show.card("violins", "Information by class", _sentence(selection, summary)):
        _figure(selection, summary)
    with show.card("ranking", "Ranking", "Highest median first. Intervals: 95 % bootstrap of the median."):
        st.markdown(words.markdown(reading(summary, selection.data.nouns[1])))
        _table(selection, summary)
    _ends(selection, summary)
    _shift(selection)


def _sentence(selection: Selection, summary: pd.DataFrame) -> str:
    many = selection.data.nouns[1]
    how = (
        f"Each shape is a density of log LSI between the class's own lowest and highest {many}; the box holds the "
        "middle half, the bar is the median. Classes with under 50 are drawn as points."
    )
    if len(summary) > MOST_RIDGES:
        how = "Dot: median. Thick line: middle half. Thin line: 5th to 95th percentile."
    left_open = " The range of LSI is left open here: it would cut the shapes." if selection.view.lsi else ""
    return f"{ranking_sentence(summary)} {how}{left_open}".strip()


def class_chart(selection: Selection, shown: pd.DataFrame) -> Chart:
    """The classes of ``shown``, some or all of the selection's summary, in its order."""
    data, rows = selection.data, selection.mask_any_lsi
    height = 430 if len(shown) <= MOST_VIOLINS else 380

    def draw() -> Chart:
        lsi, codes = selection.lsi[rows], selection.codes[rows]
        return by_class(lsi, codes, data.classes, data.colours, shown, noun=data.nouns[1], height=height)

    return chart_of(selection, "by class", draw, tuple(shown["label"]))


def _figure(selection: Selection, summary: pd.DataFrame) -> None:
    shown = summary
    if len(summary) > MOST_RIDGES:
        shown = _searched(summary)
        if shown.empty:
            st.info("No class has this in its name.")
            return
    show.figure(class_chart(selection, shown), "classes")


def _searched(summary: pd.DataFrame) -> pd.DataFrame:
    """The classes whose names contain the search; of too many, those with the highest or lowest medians."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input("Find a class", key="class_search", width=280).strip()
        found = summary[summary["label"].str.contains(wanted, case=False, regex=False)] if wanted else summary
        if len(found) > MOST_DOTS:
            ends = {"highest": f"Highest {MOST_DOTS}", "lowest": f"Lowest {MOST_DOTS}"}
            end = st.segmented_control(
                f"Of {len(found)} classes show the",
                list(ends),
                default="highest",
                required=True,
                format_func=lambda name: ends[name],
                key="class_end",
            )
            found = found.tail(MOST_DOTS) if end == "highest" else found.head(MOST_DOTS)
    return found.reset_index(drop=True)


def _ends(selection: Selection, summary: pd.DataFrame) -> None:
    """What is typical and what is unusual of one class: its ends as a strip each, the class chosen from the ranking."""
    data = selection.data
    ranked = summary["label"].iloc[::-1].tolist()
    sentence = "What the others of the class already say, and what nothing else says. Click to open."
    with show.card("ends", "Typical and unusual", sentence):
        if st.session_state.get("class_ends") not in ranked:
            st.session_state.pop("class_ends", None)
        chosen = st.selectbox("Class", ranked, key="class_ends", width=280)
        members = np.flatnonzero(selection.mask_any_lsi & (selection.codes == data.classes.index(chosen)))
        count, pixels = STRIP[data.run.modality]
        rising = members[np.argsort(selection.lsi[members], kind="stable")]
        # A class with few samples is split in two, so that no sample appears at both ends.
        low, high = rising[: min(count, -(-len(rising) // 2))], rising[::-1][: min(count, len(rising) // 2)]
        groups = [Group(low, "Typical: lowest LSI", count), Group(high, "Unusual: highest LSI", count)]
        event = gallery(
            data,
            selection.frame,
            [Section(groups, chosen, data.colours[chosen], f"{words.count(len(rising))} {data.nouns[1]}")],
            key="class_ends_tiles",
            tile_pixels=pixels,
            framed=False,
        )
        if event.opened:
            open_sample(event.opened)


def _shift(selection: Selection) -> None:
    """How the classes move with a corruption that other runs on the same data have more or less of."""
    found = sweep(selection.data)
    if found is None:
        return
    setting = found.setting.replace("_", " ")
    with show.card(
        "class_sweep",
        f"The same classes by {setting}",
        f"Median LSI, bars from quartile to quartile, over {len(found.runs)} runs that differ in {setting} alone: "
        f"{', '.join(found.runs.values())}. Every sample counts, whatever the filters.",
    ):
        show.figure(class_shift(found.table, found.setting, selection.data.colours), "class_sweep")


def _table(selection: Selection, summary: pd.DataFrame) -> None:
    colours = selection.data.colours
    table = summary.iloc[::-1].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "Class": table["label"],
            "Samples": table["n"],
            "Median LSI": table["median"],
            "95 % interval": [
                f"{words.number(low)} to {words.number(high)}"
                for low, high in zip(table["low"], table["high"], strict=True)
            ],
            "Middle half": [
                f"{words.number(low)} to {words.number(high)}"
                for low, high in zip(table["p25"], table["p75"], strict=True)
            ],
            "Suspected": table["suspected"],
            "Suspected share": table["suspected"] / table["n"],
        }
    )
    styled = table.style.format(
        {
            "Median LSI": "{:.3g}",
            "Suspected share": "{:.1%}",
            "Samples": "{:,}",
            "Suspected": "{:,}",
        }
    ).map(lambda name: f"background-color: {colours[name]}55", subset=["Class"])
    st.dataframe(
        styled if len(table) <= 500 else table,
        hide_index=True,
        height=min(520, 40 + 35 * len(table)),
        column_config={
            "Suspected": st.column_config.NumberColumn(help=f"Suspicion above {DOUBT} and another label suggested"),
            # Of more classes than are styled; a style's own words go before these.
            "Median LSI": st.column_config.NumberColumn(format="%.3g"),
            "Suspected share": st.column_config.NumberColumn(format="percent"),
        },
    )
