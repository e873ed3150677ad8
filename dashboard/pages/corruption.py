"""Corruption: what was made wrong on purpose, and how well each measure finds it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import theme, words
from dashboard.charts.detection import detection_curve, precision_at
from dashboard.charts.groups import Group, compare_groups
from dashboard.charts.sweep import class_shift
from dashboard.components import show
from dashboard.data import RunData, clean_twin, corrupted_runs, current_run, sweep, switch_run
from dashboard.summaries import evaluation_of, resamples_of
from dashboard.view.view import current_view
from lsi_engine.runs.evaluation import Evaluation
from lsi_engine.scores.registry import column

#: Numbers in a row at the head of the page.
HEADLINES = 5
_CORRUPTED, _CLEAN = theme.OKABE_ITO[5], theme.OKABE_ITO[0]


def render() -> None:
    data = current_run()
    if "corrupted" not in data.frame:
        _offer_another(data)
        return
    _shift(data)
    count = int(data.frame["corrupted"].sum())
    if count in (0, len(data.frame)):
        st.info("This run marks none, or all, of its samples as corrupted, so there is nothing to tell apart.")
        return
    if current_view().conditions:
        st.caption("This page counts every sample of the run, whatever the filters.")
    result = evaluation_of(data)
    _headlines(data, result, count)
    left, right = st.columns(2, gap="small")
    many, resamples = data.nouns[1], resamples_of(data)
    fewer = ", fewer than the usual 1,000 because the run is large" if resamples < 1000 else ""
    bootstrap = f"95 % percentile bootstrap, {words.count(resamples)} resamples of the {many}{fewer}"
    with (
        left,
        show.card(
            "detection",
            "Detection curve",
            f"Reviewing {many} from the highest score down: how many of the corrupted ones have turned up so far. "
            f"Bands: {bootstrap}.",
        ),
    ):
        curves = {measure: result.curve(measure) for measure in result.measures}
        show.figure(detection_curve(curves, count, len(data.frame), noun=many), "detection")
    with (
        right,
        show.card(
            "precision", "Precision at k", f"Of the k highest-scored {many}, the share that is corrupted. Bars: 95 %."
        ),
    ):
        show.figure(precision_at(result.table()), "precision")
    _distributions(data, result)
    with show.card("numbers", "All numbers", f"Intervals: {bootstrap}; the same for all measures."):
        _table(result.table())


def _shift(data: RunData) -> None:
    """How the classes move over the runs that differ from this one in one setting of the corruption."""
    found = sweep(data)
    if found is None:
        return
    names = ", ".join(found.runs.values())
    with show.card(
        "shift",
        f"Classes by {found.setting.replace('_', ' ')}",
        f"Median LSI of each class, bars from quartile to quartile. One run a value, otherwise alike: {names}.",
    ):
        show.figure(class_shift(found.table, found.setting, data.colours), "shift")


def _offer_another(data: RunData) -> None:
    others = corrupted_runs()
    st.info(
        f"**{words.markdown(data.run.name)}** has no known corruption. This page needs a run that was "
        "damaged on purpose: `lsi compute … --corrupt flip_labels:rate=0.1`, or the same on the Runs page."
    )
    if others:
        st.write("Runs that have one:")
        with st.container(horizontal=True):
            for name in others:
                st.button(
                    words.markdown(name),
                    key=f"open_{name}",
                    on_click=switch_run,
                    args=(name,),
                )


def _headlines(data: RunData, result: Evaluation, count: int) -> None:
    table, wanted = result.table(), (("AUROC", "AUROC"), ("average precision", "avg. precision"))
    rate = count / len(data.frame)
    numbers = [("corrupted", "Corrupted", words.count(count), f"{rate:.1%} of {words.count(len(data.frame))}")]
    for measure in result.measures:
        for metric, said in wanted:
            row = table[(table["measure"] == measure) & (table["metric"] == metric)].iloc[0]
            numbers.append(
                (
                    f"{measure}_{metric}".replace(" ", "_"),
                    f"{column(measure).title}: {said}",
                    f"{row['value']:.3f}",
                    f"95 % {row['low']:.3f} to {row['high']:.3f}",
                )
            )
    for first in range(0, len(numbers), HEADLINES):
        for place, headline in zip(st.columns(HEADLINES, gap="small"), numbers[first:], strict=False):
            with place:
                show.headline(*headline)


def _distributions(data: RunData, result: Evaluation) -> None:
    frame, twin = data.frame, clean_twin(data)
    bad = frame["corrupted"].to_numpy(dtype=bool)
    sentence = "Each group is scaled to itself. The further apart the two hills, the easier the corruption is to find."
    if twin is not None:
        sentence += f" Dashed: the same samples before, from {twin.run.name}."
    for number, name in enumerate(result.measures):
        if number % 2 == 0:
            places = st.columns(2, gap="small")
        about, scores = column(name), frame[name].to_numpy()
        groups = [Group("corrupted", scores[bad], _CORRUPTED), Group("untouched", scores[~bad], _CLEAN)]
        if twin is not None:
            rows = twin.position.get_indexer(pd.Index(frame.loc[bad, "sample_id"]))
            if name in twin.frame:
                before = twin.frame[name].to_numpy()[rows[rows >= 0]]
                groups.append(Group("the corrupted ones, before", before, theme.NEUTRAL, "dash"))
        with places[number % 2], show.card(f"groups_{name}", f"{about.title}: corrupted and untouched", sentence):
            show.figure(compare_groups(groups, measure=about.title, log=about.log), f"groups_{name}")


def _table(table: pd.DataFrame) -> None:
    shown = pd.DataFrame(
        {
            "Measure": [column(measure).title for measure in table["measure"]],
            "Metric": table["metric"],
            "Value": table["value"],
            "Low": table["low"],
            "High": table["high"],
        }
    )
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        shown,
        hide_index=True,
        height=min(560, 40 + 35 * len(shown)),
        column_config={"Value": number, "Low": number, "High": number},
    )
