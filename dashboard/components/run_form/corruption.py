"""The fields of damage on purpose: every corruption that fits the data, with its settings."""

from __future__ import annotations

from typing import Any

import streamlit as st

from lsi_engine.samples.corruption import CORRUPTIONS, Setting
from lsi_engine.samples.sample_set import Modality


def corruption_choice(modality: Modality) -> list[str]:
    """Let the reader choose corruptions of a modality; outside a form, since what is chosen decides its fields.

    They are carried out in the order in which they were chosen, within each stage.
    """
    fitting = [kind for kind, corruption in CORRUPTIONS.items() if modality in corruption.modalities]
    return st.multiselect(
        "Damage on purpose",
        fitting,
        format_func=lambda kind: f"{kind.replace('_', ' ')}: {CORRUPTIONS[kind].summary}",
        key=f"corruptions_{modality}",
        placeholder="none",
        help="To see whether the scores find it. What was done to which sample is kept with the run.",
    )


def corruption_fields(kinds: list[str]) -> tuple[dict[str, Any], ...]:
    """The fields of each chosen corruption, and what is filled in: ``{"kind": …, **settings}`` each."""
    steps = []
    for kind in kinds:
        st.caption(f"**{kind.replace('_', ' ')}**: {CORRUPTIONS[kind].summary}")
        steps.append({"kind": kind} | _settings(kind))
    return tuple(steps)


def _settings(kind: str) -> dict[str, Any]:
    places, values = st.columns(2), {}
    for number, setting in enumerate(CORRUPTIONS[kind].settings):
        with places[number % 2]:
            value = _field(kind, setting)
        if value not in (None, "", []):
            values[setting.name] = value
    return values


def _field(kind: str, setting: Setting) -> Any:
    name, key = setting.name.replace("_", " ").capitalize(), f"corruption_{kind}_{setting.name}"
    match setting.form:
        case "share" | "number":
            upper, step = (1.0, 0.05) if setting.form == "share" else (None, 0.5)
            value = st.number_input(
                name,
                value=float(setting.default),
                min_value=0.0,
                max_value=upper,
                step=step,
                format="%g",
                key=key,
                help=setting.help,
            )
            return float(value)
        case "level":
            return int(st.number_input(name, 1, 5, setting.default, key=key, help=setting.help))
        case "seed":
            return int(st.number_input(name, value=setting.default, min_value=0, step=1, key=key, help=setting.help))
        case "classes":
            return st.multiselect(
                name, [], key=key, accept_new_options=True, placeholder="all; type a name", help=setting.help
            )
        case "choice":
            return st.selectbox(name, setting.choices, key=key, help=setting.help)
        case "text":
            text = st.text_input(name, key=key, help=setting.help)
            return [part.strip() for part in text.split("|") if part.strip()]
        case "path":
            return st.text_input(name, key=key, help=setting.help).strip()
