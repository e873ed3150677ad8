"""Runs: what is stored, what is going on, and starting another."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import jobs, words
from dashboard.components import show
from dashboard.components.run_form.form import start_card
from dashboard.data import switch_run
from dashboard.jobs import Job
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run

STAGES = {
    "": "Starting",
    "samples": "Reading the samples",
    "scan": "Reading the samples",
    "words": "Counting words",
    "features": "Extracting features",
    "scaling": "Scaling features",
    "fit": "Fitting the probe",
    "hessian": "Measuring curvature",
    "curvature": "Measuring curvature",
    "scores": "Leaving each sample out",
    "refinement": "Refining the highest scores",
    "full run": "Training on all samples",
    "first epochs": "Training the first epochs",
    "left-out runs": "Following the left-out trainings",
    "training as given": "Training as asked for",
    "retrain": "Training without each sample",
    "posteriors": "Comparing posteriors",
    "groups": "Leaving out groups",
}
STATES = {
    "queued": "starting",
    "waiting": "waiting",
    "running": "running",
    "done": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "stalled": "stopped without a word",
}
#: Seconds between two looks at the running jobs.
POLL_SECONDS = 1.0


def render() -> None:
    _going()
    listed, form = st.columns([9, 5], gap="small")
    with listed:
        _stored()
    with form:
        start_card()


def _going() -> None:
    """The jobs that run or wait now, looked at again every second; the page redraws once one of them ends."""
    jobs.keep_queue()
    active = [job.name for job in _active()]
    if not active:
        return

    @st.fragment(run_every=POLL_SECONDS)
    def watch() -> None:
        now = _active()
        if [job.name for job in now] != active:
            st.rerun()
        for job in now:
            _progress(job)

    sentence = "You may close this page: the work goes on, and the page finds it again. Runs wait for each other."
    with show.card("going", "Going on now", sentence):
        watch()


def _active() -> list[Job]:
    """What runs first, then what waits, in the order of its turn."""
    active = [job for job in jobs.jobs() if job.active]
    return sorted(active, key=lambda job: (job.waiting, job.status.started or 0.0))


def _progress(job: Job) -> None:
    status = job.status
    stage = "Waiting for its turn" if job.waiting else STAGES.get(status.stage, status.stage)
    facts = [f"{words.count(status.done)} of {words.count(status.total)}"] if status.total else []
    if status.rate:
        facts.append(f"{words.number(status.rate)} a second")
    if status.eta_seconds is not None:
        facts.append(f"{words.seconds(status.eta_seconds)} left in this stage")
    elif status.started and not job.waiting:
        facts.append(f"{words.seconds(time.time() - status.started)} so far")
    share = min(status.done / status.total, 1.0) if status.total else 0.0
    with st.container(horizontal=True, vertical_alignment="center", key=f"job_{job.name}"):
        st.progress(share, text=" · ".join([f"**{words.markdown(job.name)}**", stage, *facts]))
        st.button(
            "Cancelling …" if job.cancelling else "Cancel",
            key=f"cancel_{job.name}",
            disabled=job.cancelling,
            on_click=jobs.cancel,
            args=(job.name,),
        )


def _stored() -> None:
    found = [job for job in jobs.jobs() if not job.active]
    with show.card("runs", "Stored runs", "Choose one to open it, to see why it stopped, or to resume it."):
        if not found:
            st.write("None yet.")
            return
        event = st.dataframe(
            pd.DataFrame([_row(job) for job in found]),
            hide_index=True,
            on_select="rerun",
            selection_mode="single-row",
            key="run_list",
            height=min(420, 40 + 35 * len(found)),
            placeholder="",
            column_config={
                "State": st.column_config.TextColumn(width=70),
                "Samples": st.column_config.NumberColumn(format="localized", width=74),
                "Method": st.column_config.TextColumn(width=132),
                "Time": st.column_config.TextColumn(width=88),
                "Started": st.column_config.DatetimeColumn(format="D MMM HH:mm", width=104),
            },
        )
        rows = event["selection"]["rows"]
        if rows and rows[0] < len(found):
            _details(found[rows[0]])
        elif found[0].state != "done":
            _details(found[0])  # what happened last is what the reader wants to know


def _row(job: Job) -> dict[str, Any]:
    facts = _facts(job)
    timings = facts.get("timings") or {}
    engine = facts.get("engine", {})
    started = job.status.started
    method = [str(engine.get(name) or "").replace("_", " ") for name in ("method", "hessian")]
    return {
        "Run": job.name,
        "State": STATES[job.state],
        "Samples": facts.get("samples"),
        "Method": ", ".join(filter(None, method)),
        "Time": words.seconds(sum(timings.values())) if timings else "",
        "Started": datetime.fromtimestamp(started) if started else None,
    }


def _facts(job: Job) -> dict[str, Any]:
    try:
        return Run(job.path).provenance
    except (InputError, OSError):
        return {}


def _details(job: Job) -> None:
    if job.state in ("failed", "cancelled", "stalled"):
        reason = job.status.message or (
            "Its process is gone: it was killed, or the machine ran out of memory or was switched off."
        )
        if job.state == "cancelled":
            reason = "what was finished is kept, and Resume goes on from there."
        st.warning(f"**{words.markdown(job.name)}** {STATES[job.state]}: {words.markdown(reason)}")
    with st.container(horizontal=True):
        if job.state == "done":
            st.button("Open this run", key="open_run", type="primary", on_click=switch_run, args=(job.name,))
        elif job.arguments is not None:
            st.button("Resume", key="resume_run", type="primary", on_click=_resume, args=(job.name,))
    facts = _facts(job)
    if "classes" in facts:
        norm = facts.get("gradient_norm")
        fit = f" · gradient norm of the fit {words.number(norm, 2)}" if norm is not None else ""
        st.caption(f"{words.count(len(facts['classes']))} classes{fit}")
    for warning in facts.get("warnings", []):
        st.warning(words.markdown(warning))
    log = job.log_tail()
    if log:
        with st.expander("What it printed", expanded=job.state == "failed"):
            st.code(log, language=None, wrap_lines=True)


def _resume(name: str) -> None:
    try:
        jobs.resume(name)
    except InputError as error:
        st.session_state["start_problems"] = [str(error)]
