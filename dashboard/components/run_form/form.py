"""The form that starts a run: what, what is damaged on purpose, how it is scored, and what that will take."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import jobs, words
from dashboard.components import show
from dashboard.components.run_form.corruption import corruption_choice, corruption_fields
from dashboard.components.run_form.settings import METHODS, method_choice, setting_fields
from dashboard.components.run_form.source import modality_of, source_fields, source_kind
from dashboard.run_request import RunRequest
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore


def start_card() -> None:
    """The form, and below it what is wrong with it, or what the run would take."""
    with show.card("start", "Start a run", "It runs as a process of its own on the machine of this dashboard."):
        kind = source_kind()
        chosen = corruption_choice(modality_of(kind))
        method = method_choice(kind)
        with st.form("new_run", border=False):
            fields: dict[str, Any] = source_fields(kind)
            fields["name"] = st.text_input("Name of the run", placeholder="letters, digits, . _ -")
            fields["corruptions"] = corruption_fields(chosen)
            with st.expander("More settings"):
                fields["settings"] = setting_fields(kind, method)
            with st.container(horizontal=True):
                start = st.form_submit_button("Start", type="primary")
                ask = st.form_submit_button("What will it take?", help="Time and memory by method; nothing is started")
        request = RunRequest(kind=kind, **fields)
        if start:
            _submit(request)
        elif ask:
            _ask(request)
        for problem in st.session_state.pop("start_problems", []):
            st.error(words.markdown(problem))


def _submit(request: RunRequest) -> None:
    problems = request.problems(RunStore())
    if not problems:
        try:
            jobs.start(request.config())
        except InputError as error:
            problems = [str(error)]
        else:
            st.rerun()
    st.session_state["start_problems"] = problems


def _ask(request: RunRequest) -> None:
    problems = request.problems(RunStore(), named=False)
    if not problems:
        try:
            with st.spinner("Counting the data and measuring this machine …"):
                found = jobs.estimate(request.config())
        except InputError as error:
            problems = [str(error)]
        else:
            _show_cost(found)
    st.session_state["start_problems"] = problems


def _show_cost(found: dict[str, Any]) -> None:
    """The sentence that compares the methods, and their table."""
    sizes = {"samples": found["samples"], "features": found["dimension"], "classes": found["classes"]}
    told = ", ".join(f"{words.count(value)} {name}" if value else f"{name} unknown" for name, value in sizes.items())
    with st.container(key="run_cost"):
        if not found["methods"]:
            st.info(f"How long it takes cannot be said before the data are read: {told} ({found['sizes']}).")
            return
        sentence = "; ".join(
            f"{METHODS[name].lower()}: about {words.seconds(each['seconds'])}"
            for name, each in found["methods"].items()
            if not each["refusal"]
        )
        st.markdown(f"**{words.markdown(sentence[:1].upper() + sentence[1:])}** on this machine.")
        features = found["features_seconds"]
        extraction = "features: " + ("time " if features is None else f"about {words.seconds(features)}, ")
        st.caption(words.markdown(f"{told} ({found['sizes']}) · {extraction}{found['features']}"))
        table = pd.DataFrame([_line(name, each, found["chosen"]) for name, each in found["methods"].items()])
        st.dataframe(table, hide_index=True)


def _line(name: str, each: dict[str, Any], chosen: str) -> dict[str, str]:
    method = METHODS[name] + (" (chosen)" if name == chosen else "")
    if each["refusal"]:
        return {"Method": method, "About": "–", "Memory": "", "Why not": each["refusal"]}
    memory = f"{each['needed_bytes'] / 2**30:.1f} of {each['free_bytes'] / 2**30:.0f} GiB free"
    return {"Method": method, "About": words.seconds(each["seconds"]), "Memory": memory, "Why not": ""}
