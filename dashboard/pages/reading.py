"""Reading: samples labelled anew and blind, by several people, once or twice; then how far they agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.components.media import pictured
from dashboard.data import RunData
from dashboard.desks.reading.agreement import agreement_of
from dashboard.desks.reading.desk import AHEAD, desk, readings_of, record, shown
from dashboard.desks.review.reviewer import reviewer_name
from dashboard.view.selection import Selection, current_selection
from lsi_engine.curation.readings import Readings, Study
from lsi_engine.errors import InputError

#: What a study can be made of.
CHOICES = {
    "mixed": "Suspected labels, and as many others at random",
    "selection": "What the filters keep, at random",
}


def render() -> None:
    selection = current_selection()
    data, readings = selection.data, readings_of(selection.data.run)
    if data.pairs or (data.run.modality != "image" and "text" not in data.frame):
        st.info("There is nothing to label here: open a run on images or texts that have classes.")
        return
    studies = readings.studies()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="reading_controls"):
        names = [study.name for study in studies]
        chosen = None
        if names:
            chosen = st.selectbox("Study", names, key="study", label_visibility="collapsed", width=260)
        with st.popover("New study", icon=":material/add:", key=f"study_new_{len(studies)}"):  # a new one closes it
            _new(selection, readings)
        part = st.segmented_control(
            "Part",
            ["Read", "Read again", "Agreement"],
            default="Read",
            required=True,
            key="reading_part",
            bind="query-params",
            label_visibility="collapsed",
        )
        st.space("stretch")
        reader = reviewer_name()
    if chosen is None:
        st.info(
            "A study is a list of samples that people label without seeing the given label, each in an order of their "
            "own. Make one with **New study**; the conditions set on other pages narrow what it is made of."
        )
        return
    study = next(one for one in studies if one.name == chosen)
    if part == "Agreement":
        agreement_of(data, readings, study)
    else:
        _read(data, readings, study, reader, 2 if part == "Read again" else 1)


def _new(selection: Selection, readings: Readings) -> None:
    many = selection.data.nouns[1]
    with st.form("new_study", border=False):
        name = st.text_input("Name", placeholder="letters, digits, anything")
        choice = st.radio("Made of", list(CHOICES), format_func=lambda key: CHOICES[key])
        count = st.number_input(f"At most so many {many}", min_value=2, max_value=5000, value=60)
        seed = st.number_input("Seed", min_value=0, value=0, help="The same seed draws the same list and orders.")
        if st.form_submit_button("Make the study", type="primary"):
            ids = draw(selection, str(choice), int(count), int(seed))
            try:
                created_by = st.session_state.get("reviewer") or "someone"
                readings.create(name, ids, seed=int(seed), created_by=created_by)
            except InputError as error:
                st.error(words.markdown(str(error)))
            else:
                st.session_state.pop("study", None)
                st.rerun()


def draw(selection: Selection, choice: str, count: int, seed: int) -> list[str]:
    """Ids of at most ``count`` samples: half of them suspects, so that being listed says nothing, or any at random."""
    random = np.random.default_rng(seed)
    kept = np.flatnonzero(selection.mask)
    if selection.data.run.modality == "image":
        kept = kept[pictured(selection.data.run, selection.frame["sample_id"].iloc[kept])]
    if choice == "mixed":
        doubtful = selection.suspected[kept]
        half = min(count // 2, int(doubtful.sum()), int((~doubtful).sum()))
        rows = np.concatenate([random.choice(kept[doubtful], half, False), random.choice(kept[~doubtful], half, False)])
    else:
        rows = random.choice(kept, min(count, len(kept)), False)
    return selection.frame["sample_id"].iloc[rows].tolist()


def _read(data: RunData, readings: Readings, study: Study, reader: str, round: int) -> None:
    try:
        cases = readings.cases(study, reader, round)
    except InputError as error:
        st.info(words.markdown(str(error)))
        return
    reading = f"{data.run.name}/{study.id}/{reader}/{round}"
    if st.session_state.get("reading") != reading:
        st.session_state.update(reading=reading, reading_acknowledged=[])
    waiting = [case for case in cases if case.label is None]
    result = desk()(
        key="reading_desk",
        data={
            "reading": reading,
            "items": [shown(data, case) for case in waiting[:AHEAD]],
            "labels": data.classes,
            "total": len(cases),
            "read": len(cases) - len(waiting),
            "acknowledged": st.session_state["reading_acknowledged"],
            "finished": "Every case is read. The Agreement part says how far readers agree; it shows the labels.",
        },
        default={"outbox": []},
        on_outbox_change=lambda: _take(readings, reading, st.session_state["reading_desk"].get("outbox")),
    )
    if _take(readings, reading, result.outbox):  # what a browser still held when it came back to a new session
        st.rerun()


def _take(readings: Readings, reading: str, outbox: list[dict[str, Any]] | None) -> bool:
    known = st.session_state["reading_acknowledged"]
    new = [act for act in outbox or [] if act["reading"] == reading and act["token"] not in known]
    st.session_state["reading_acknowledged"] = [*known, *record(readings, new)][-500:]
    return bool(new)
