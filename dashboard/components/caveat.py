"""What the run's probe knows, and the sentence that a page says first where that is nothing."""

from __future__ import annotations

import streamlit as st

from dashboard import words
from dashboard.charts.reliability import reliability_curve
from dashboard.components import show
from dashboard.data import RunData
from lsi_engine.scores.skill import curve_sentence


def caveat(data: RunData) -> None:
    """Warn that suspicion says little about these labels, where it does; nothing else."""
    if data.caveat:
        st.warning(words.markdown(data.caveat), icon=":material/warning:")


def skill_card(data: RunData) -> None:
    """Leave-one-out performance beside what needs no features; nothing for pairs, which have no class."""
    skill = data.skill
    if skill is None:
        return
    one = data.nouns[0]
    sentence = (
        f"Each {one} is named by a probe trained without it. Doubt about labels is worth as much as this probe: it has "
        "to beat naming the commonest class and predicting the class frequencies."
    )
    with show.card("skill", "What the probe knows", sentence):
        lines = (
            ("Right label named", f"{skill.accuracy:.1%}", f"{skill.commonest_accuracy:.1%} for the commonest class"),
            (
                "The same, every class counting alike",
                f"{skill.balanced_accuracy:.1%}",
                f"{skill.commonest_balanced_accuracy:.1%} for the commonest class",
            ),
            (
                "Log loss (low is good)",
                words.number(skill.log_loss),
                f"{words.number(skill.frequency_log_loss)} for the class frequencies",
            ),
            ("Certainty off by (ECE)", f"{skill.calibration_error:.1%}", "0 % is a probe to be taken at its word"),
        )
        rows = "".join(
            f"<tr><td>{name}</td><td style='text-align:right'><b>{value}</b></td><td>{beside}</td></tr>"
            for name, value, beside in lines
        )
        st.html(f"<table style='border-spacing:.8rem .15rem;font-size:.88rem'>{rows}</table>")
        engine = data.provenance.get("engine") or {}
        if curve := engine.get("weight_decay_curve"):
            st.caption(words.markdown(curve_sentence(curve, engine["weight_decay_samples"]).capitalize() + "."))
        show.figure(reliability_curve(skill, noun=data.nouns[1]), "reliability")
