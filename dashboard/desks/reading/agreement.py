"""What a study came to: κ of every two raters, their confusion, and the samples left to adjudicate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.components import show
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.data import RunData, frame_with_decisions
from dashboard.navigation import review_sample
from lsi_engine.agreement.kappa import GIVEN, confusion, every_pair, pair, raters, to_adjudicate
from lsi_engine.curation.readings import Readings, Study

TILES = 18
_NUMBERS = {"observed": "Equal labels", "kappa": "Cohen's κ", "low": "95 % from", "high": "to"}


def agreement_of(data: RunData, readings: Readings, study: Study) -> None:
    """Draw the results once the reader says that they may be seen: they show the given labels."""
    answers = readings.answers(study)
    done = answers.groupby(["reader", "round"]).size().reset_index(name="read")
    going = done[done["read"] < len(study.sample_ids)]
    said = ", ".join(f"{row.reader} (reading {row.round}: {row.read})" for row in done.itertuples())
    st.caption(words.markdown(f"{len(study.sample_ids)} samples, seed {study.seed}. Read by: {said or 'nobody yet'}."))
    if answers.empty:
        st.info("Nobody has read anything yet.")
        return
    if not st.toggle("Show the results (ends the blinding for whoever sees them)", key=f"unblind_{study.id}"):
        return
    if len(going):
        st.warning("Somebody has not finished: the figures are about what both raters of a pair have read so far.")
    given = data.frame.set_index("sample_id")["label"]
    wide = raters(answers, given)
    pairs = every_pair(wide)
    left, right = st.columns([3, 2], gap="small")
    with left, show.card("kappa", "Agreement", "κ is agreement beyond chance: 1 is perfect, 0 what chance gives."):
        table = pairs.rename(columns={"first": "Rater", "second": "with", "n": "Both labelled", **_NUMBERS})
        number = st.column_config.NumberColumn(format="%.3f")
        st.dataframe(table, hide_index=True, column_config=dict.fromkeys(_NUMBERS.values(), number))
        st.caption(
            "Intervals: 95 % percentile bootstrap over samples. Cases that somebody could not tell are left out."
        )
    with right, show.card("reading_confusion", "Confusion", "Rows: the first rater. Columns: the second."):
        options = list(zip(pairs["first"], pairs["second"], strict=True))
        chosen = st.selectbox("Pair", options, format_func=lambda two: f"{two[0]} and {two[1]}", key="confusion_pair")
        st.dataframe(confusion(*pair(wide, *chosen)))
    _disputed(data, wide)


def _disputed(data: RunData, wide: pd.DataFrame) -> None:
    disputed = to_adjudicate(wide)
    sentence = (
        "The most disputed first; a badge marks what somebody has decided. A click takes the sample to the reviewing "
        "desk, where the decision is recorded; its queue Disputed holds those that are open."
    )
    with show.card("adjudicate", f"To adjudicate: {words.count(len(disputed))}", sentence):
        if disputed.empty:
            st.write("All raters agree with each other and with the given labels.")
            return
        rows = data.position.get_indexer(pd.Index(disputed.index))
        rows = rows[rows >= 0][:TILES]
        tiles = [Section([Group(np.asarray(rows), columns=9)])]
        event = gallery(data, frame_with_decisions(data), tiles, key="adjudicate", tile_pixels=110, framed=False)
        if event.opened:
            review_sample(event.opened)
        table = disputed.rename(columns={GIVEN: "Given label", "votes": "Against the majority"}).fillna("cannot tell")
        st.dataframe(table, height=min(320, 40 + 35 * len(table)))
