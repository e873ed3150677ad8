"""Compare: runs on the same samples against each other, and datasets on one axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import theme, words
from dashboard.charts.comparison import class_shift, correlation_matrix, difficulty_axis, shift_scatter
from dashboard.charts.groups import Group, compare_groups
from dashboard.components import show
from dashboard.components.gallery.gallery import Group as Tiles
from dashboard.components.gallery.gallery import Section, gallery
from dashboard.components.pair_panel import no_classes
from dashboard.data import RunData, clean_twin, complete_runs, current_run, frame_with_decisions, open_run
from dashboard.navigation import open_sample
from lsi_engine.errors import InputError
from lsi_engine.runs.comparison import Comparison, compare, corrupted_rows, difficulty
from lsi_engine.scores.registry import column, comparing

#: Parts of another measure: in the matrix's numbers only.
PARTS = ("lsi_mean_shift", "lsi_covariance")
TILES = 9


def render() -> None:
    data = current_run()
    chosen = [open_run(name) for name in _choose(data)]
    if not chosen:
        st.info("Choose at least one more run above. A run and its corrupted or rescored twin share their samples.")
        return
    alike = [data, *(other for other in chosen if _shares(data, other))]
    if len(alike) < len(chosen) + 1:
        others = ", ".join(words.markdown(o.run.name) for o in chosen if o not in alike)
        st.caption(f"On other samples, so compared as datasets only: {others}.")
    if len(alike) > 1:
        _same_samples(data, alike)
    _datasets([data, *chosen])


def _choose(data: RunData) -> list[str]:
    """The runs beside the open one: from the link, else its clean twin or the run it was derived from."""
    names = [name for name in complete_runs() if name != data.run.name]
    if "compare_with" not in st.session_state:
        linked = [name for name in st.query_params.get_all("with") if name in names]
        twin = clean_twin(data)
        usual = [data.run.config.derived_from or "", twin.run.name if twin else ""]
        st.session_state["compare_with"] = linked or [name for name in dict.fromkeys(usual) if name in names]
    st.session_state["compare_with"] = [name for name in st.session_state["compare_with"] if name in names]
    chosen = st.multiselect(f"Compare {words.markdown(data.run.name)} with", names, key="compare_with")
    if st.query_params.get_all("with") != chosen:
        st.query_params["with"] = chosen
    return chosen


def _shares(data: RunData, other: RunData) -> bool:
    return len(data.position.intersection(other.position)) >= 2


@st.cache_resource(max_entries=8, show_spinner="Joining the runs …")
def _joined(fingerprints: tuple[str, ...], _runs: list[RunData]) -> tuple[Comparison, pd.DataFrame]:
    joined = compare({one.run.name: one.frame for one in _runs})
    return joined, joined.correlations()


def _same_samples(data: RunData, runs: list[RunData]) -> None:
    try:
        joined, correlations = _joined(tuple(f"{one.run.name}@{one.run.fingerprint}" for one in runs), runs)
    except InputError as error:
        st.warning(words.markdown(str(error)))
        return
    lacking = {name: count for name, count in joined.missing.items() if count}
    left_out = "; ".join(f"{words.count(count)} of {name} left out" for name, count in lacking.items())
    many = data.nouns[1]
    shared = set.intersection(*(set(frame) for frame in joined.frames.values()))
    measures = [each.name for each in comparing(data.frame) if each.name in shared and each.name not in PARTS]
    with st.container(horizontal=True, vertical_alignment="center", key="compare_controls"):
        measure = str(
            st.segmented_control(
                "Measure",
                measures,
                format_func=lambda name: column(name).word,
                default="lsi",
                required=True,
                key="compare_measure",
                bind="query-params",
                label_visibility="collapsed",
            )
            or "lsi"
        )
        second = st.selectbox("Against", joined.runs[1:], key="compare_second", label_visibility="collapsed", width=260)
        said = f"{words.count(len(joined))} shared {many}" + (f" ({left_out})" if left_out else "")
        st.html(f'<span class="lsi-count">{words.escape(said)}</span>', width="stretch")
    left, right = st.columns(2, gap="small")
    with left, show.card("shared_axis", f"{column(measure).word} on one axis", "The same samples in every run."):
        groups = [
            Group(name, joined.frames[name][measure].to_numpy(), theme.OKABE_ITO[i % 8], "solid" if i == 0 else "dash")
            for i, name in enumerate(joined.runs)
        ]
        show.figure(compare_groups(groups, measure=column(measure).word, log=column(measure).log), "shared_axis")
    with right, show.card("rank_matrix", "Rank correlation", "Spearman; 1: the same order, 0: none in common."):
        show.figure(correlation_matrix(correlations), "rank_matrix")
    _moved(data, joined, str(second), measure)


def _moved(data: RunData, joined: Comparison, second: str, measure: str) -> None:
    first, many = data.run.name, data.nouns[1]
    shifts = joined.shifts(first, second, measure)
    marked = corrupted_rows({name: joined.frames[name] for name in (first, second)})
    if marked is not None:
        ids = pd.Index(joined.frames[first]["sample_id"])
        marked = marked[ids.get_indexer(pd.Index(shifts["sample_id"]))]
    left, right = st.columns(2, gap="small")
    sentence = f"Each point is one of the shared {many}: its place in both rankings."
    with left, show.card("shift", "Who moved", sentence):
        show.figure(shift_scatter(shifts, first, second, marked=marked, noun=many), "shift")
    sentence = f"Open circle: {first}; filled: {second}. Classes as labelled in {first}; hover for the factor."
    with right:
        if not no_classes(data):
            with show.card("class_shift", "Classes that moved", sentence):
                table = joined.class_shift(first, second, measure)
                show.figure(class_shift(table, first, second, data.colours, measure=measure), "class_shift")
    with show.card(
        "moved", "Moved most", f"Percentiles by {column(measure).word} among the shared {many}. Click to open."
    ):
        rows = data.position.get_indexer(pd.Index(shifts["sample_id"].head(TILES)))
        tiles = [Section([Tiles(np.asarray(rows), columns=TILES)])]
        frame = frame_with_decisions(data)
        event = gallery(data, frame, tiles, key="compare_tiles", tile_pixels=110, framed=False)
        if event.opened:
            open_sample(event.opened)
        columns = {
            "sample_id": "Sample",
            "name": "Name",
            "label_first": f"Label in {first}",
            "label_second": f"Label in {second}",
            "percentile_first": f"Percentile in {first}",
            "percentile_second": f"Percentile in {second}",
        }
        number = st.column_config.NumberColumn(format="%.1f")
        formats = {columns[name]: number for name in columns if name.startswith("percentile")}
        table = shifts.head(100)[list(columns)].rename(columns=columns)
        st.dataframe(table, hide_index=True, height=260, column_config=formats)


@st.cache_data(max_entries=16, show_spinner=False)
def _difficulty(fingerprints: tuple[str, ...], _runs: list[RunData]) -> pd.DataFrame:
    return difficulty([one.run for one in _runs])


def _datasets(runs: list[RunData]) -> None:
    table = _difficulty(tuple(f"{one.run.name}@{one.run.fingerprint}" for one in runs), runs)
    sentence = (
        "Dot: median. Thick: middle half. Thin: 5th to 95th percentile. A harder dataset lies further right, but only "
        "under the same features, scaling and weight decay, and LSI falls as a dataset grows."
    )
    with show.card("difficulty", "Difficulty on one axis", sentence):
        if table["settings"].nunique() > 1:
            st.caption("These runs differ in their settings (see the table): read the order with care.")
        show.figure(difficulty_axis(table), "difficulty")
        shown = pd.DataFrame(
            {
                "Run": table["run"],
                "Samples": table["samples"],
                "Classes": table["classes"],
                "Median LSI": table["p50"],
                "Sum of LSI": table["information"],
                "Accuracy, sample left out": table["accuracy"],
                "Reliability": [_reliability(value) for value in table["reliability"]],
                "Settings": table["settings"],
            }
        )
        formats = {
            "Median LSI": st.column_config.NumberColumn(format="%.3g"),
            "Sum of LSI": st.column_config.NumberColumn(format="%.4g"),
            "Accuracy, sample left out": st.column_config.NumberColumn(format="percent"),
            "Reliability": st.column_config.TextColumn(help="Mean Spearman correlation of LSI between seeds"),
        }
        st.dataframe(shown, hide_index=True, column_config=formats)


def _reliability(value: float | None) -> str:
    return "one training, no seeds" if value is None or pd.isna(value) else f"{value:.2f} between seeds"
