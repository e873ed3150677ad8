"""Subsets: which part of the data trains best, before one is exported."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import jobs, words
from dashboard.charts.subsets import numbers, pruning_curves, reading, third_accuracies
from dashboard.components import background, show
from dashboard.components.export.rule import controls_of
from dashboard.data import RunData, current_run
from dashboard.navigation import open_page
from lsi_engine.curation import CleaningRule
from lsi_engine.runs.artefacts.subsets import (
    HELD_OUT,
    MOST_ROWS,
    REPEATS,
    Subsets,
    expected_seconds,
    stored_subsets,
    subsets_folder,
    unsuitable,
)
from lsi_engine.runs.store import Run

STAGES = {"features": "reading the features", "subsets": "training"}
#: Shares that can be taken to the Export page, in per cent.
TAKEN = (90, 75, 50, 33, 25, 10)


def render() -> None:
    data = current_run()
    reason = unsuitable(data.run)
    if reason:
        st.info(words.markdown(f"{reason[0].upper()}{reason[1:]}."))
        return
    kept = _stored(data)
    if kept is None:
        with show.card(
            "subsets_missing",
            "Which part of the data trains best?",
            "The probe is trained on the third of each class with the lowest, middle and highest LSI, and on what is "
            "left when more and more is dropped, by LSI, by its rivals and at random; then tested on held-out samples.",
        ):
            _start(data)
        return
    found, summary = kept
    _results(data, found, summary)
    with st.popover("Compare again", icon=":material/refresh:", key="subsets_again"):
        _start(data)


def _stored(data: RunData) -> tuple[Subsets, pd.DataFrame] | None:
    path = subsets_folder(data.run) / "facts.json"
    return _summarised(str(data.run.path), data.run.fingerprint, path.stat().st_mtime_ns) if path.is_file() else None


@st.cache_resource(max_entries=12, show_spinner=False)
def _summarised(folder: str, fingerprint: str, stamp: int) -> tuple[Subsets, pd.DataFrame] | None:
    found = stored_subsets(Run(Path(folder)))
    return None if found is None else (found, found.summary())


def _start(data: RunData) -> None:
    """A button that starts the comparison in the background, or the bar of the one that is going."""
    folder = subsets_folder(data.run)
    if background.is_going(folder):
        background.watch(folder, "Subsets", STAGES, "subsets")
        return
    if ended := background.problem(folder):
        st.warning(words.markdown(ended))
    samples, many = len(data.frame), data.nouns[1]
    used = f"{words.count(min(samples, MOST_ROWS))} {many}"
    said = f"{REPEATS} times {HELD_OUT:.0%} of {used} are held out" + (
        f" (drawn of {words.count(samples)}, class by class)." if samples > MOST_ROWS else "."
    )
    seconds = expected_seconds(data.run)
    st.caption(
        f"{said} It takes {f'about {words.seconds(seconds)}' if seconds else 'seconds to minutes'}, beside the pages."
    )
    st.button("Compare subsets", type="primary", key="subsets_start", on_click=jobs.start_subsets, args=(data.run,))


def _results(data: RunData, found: Subsets, summary: pd.DataFrame) -> None:
    many = data.nouns[1]
    with show.card("subsets_reading", "What this says"):
        st.markdown(words.markdown(" ".join(reading(summary, many))))
        _about(data, found)
    left, right = st.columns(2, gap="small")
    with (
        left,
        show.card(
            "thirds",
            "Which third trains best",
            "Probes trained on a third of each class, by LSI. Bars span the repeats.",
        ),
    ):
        show.figure(third_accuracies(summary, noun=many), "thirds")
    with (
        right,
        show.card(
            "pruning",
            "How much can go",
            "Held-out accuracy as less is kept of each class, by what is dropped first. Bands span the repeats; "
            "lines that leave the figure fall further, as the numbers say.",
        ),
    ):
        show.figure(pruning_curves(summary, noun=many), "pruning")
    with show.card(
        "subset_numbers",
        "All numbers",
        "Means over the repeats; differences are points of test accuracy, paired by repeat, with 95 % intervals.",
    ):
        st.dataframe(numbers(summary), hide_index=True, height=420)
    with show.card(
        "subset_export",
        "Take one to the Export page",
        "The same rule on the whole run, decisions of reviewers applied.",
    ):
        _take()


def _about(data: RunData, found: Subsets) -> None:
    facts, many = found.facts, data.nouns[1]
    truth = "true labels" if facts["truth"] == "true_label" else "given labels"
    tested = " to ".join(words.count(size) for size in sorted({min(facts["test_rows"]), max(facts["test_rows"])}))
    said = [
        f"{facts['repeats']} repeats; each holds out {facts['held_out']:.0%} ({tested} {many}), scores the rest "
        f"without it in closed form and counts the {truth} of what was held out.",
    ]
    if facts["rows"] < facts["samples"]:
        said.append(
            f"{words.count(facts['rows'])} of {words.count(facts['samples'])} {many} were drawn, class by class."
        )
    if facts["grouped"]:
        said.append("No group is on both sides.")
    if data.run.config.method != "closed_form":
        said.append("The run's own scores come from another method.")
    said += [f"{note[0].upper()}{note[1:]}." for note in facts["notes"]]
    st.caption(words.markdown(" ".join(said)))


def _take() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        share = st.segmented_control(
            "Keep of each class",
            TAKEN,
            format_func=lambda share: f"{share} %",
            default=50,
            required=True,
            key="subset_share",
        )
        lowest = st.button("Drop the highest LSI", key="subset_lowest", icon=":material/download:")
        highest = st.button("Drop the lowest LSI", key="subset_highest", icon=":material/download:")
    if lowest or highest:
        rule = CleaningRule(keep_fraction=int(share or 50) / 100, keep_end="lowest" if lowest else "highest")
        st.session_state.update(controls_of(rule))
        open_page("export")
