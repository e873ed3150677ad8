"""Runs: what is stored, what is going on, and starting another."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, cast

import pandas as pd
import streamlit as st

from dashboard import jobs, show, words
from dashboard.components.corruption_form import corruption_choice, corruption_fields
from dashboard.data import switch_run
from dashboard.jobs import Job
from dashboard.run_request import BUNDLED, PATHS, SPLITS, TEXTS, WITH_FEATURES, Kind, RunRequest
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.samples.sample_set import Modality

STAGES = {
    "": "Starting",
    "samples": "Reading the samples",
    "scan": "Reading the samples",
    "words": "Counting words",
    "features": "Extracting features",
    "scaling": "Scaling features",
    "fit": "Fitting the probe",
    "hessian": "Measuring curvature",
    "scores": "Leaving each sample out",
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
    listed, form = st.columns([2, 1], gap="small")
    with listed:
        _stored()
    with form:
        _start()


def _going() -> None:
    """The jobs that run now, looked at again every second; the page redraws once one of them ends."""
    active = [job.name for job in jobs.jobs() if job.active]
    if not active:
        return

    @st.fragment(run_every=POLL_SECONDS)
    def watch() -> None:
        now = [job for job in jobs.jobs() if job.active]
        if [job.name for job in now] != active:
            st.rerun()
        for job in now:
            _progress(job)

    with show.card("going", "Going on now", "You may close this page: the work goes on, and the page finds it again."):
        watch()


def _progress(job: Job) -> None:
    status = job.status
    stage = STAGES.get(status.stage, status.stage)
    facts = [f"{words.count(status.done)} of {words.count(status.total)}"] if status.total else []
    if status.rate:
        facts.append(f"{words.number(status.rate)} a second")
    if status.eta_seconds is not None:
        facts.append(f"{words.seconds(status.eta_seconds)} left in this stage")
    elif status.started:
        facts.append(f"{words.seconds(time.time() - status.started)} so far")
    share = min(status.done / status.total, 1.0) if status.total else 0.0
    with st.container(horizontal=True, vertical_alignment="center", key=f"job_{job.name}"):
        st.progress(share, text=f"**{words.markdown(job.name)}** · {stage} · {' · '.join(facts)}")
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
            column_config={"Started": st.column_config.DatetimeColumn(format="D MMM HH:mm")},
        )
        rows = event["selection"]["rows"]
        if rows and rows[0] < len(found):
            _details(found[rows[0]])
        elif found[0].state != "done":
            _details(found[0])  # what happened last is what the reader wants to know


def _row(job: Job) -> dict[str, Any]:
    facts = _facts(job)
    timings = facts.get("timings") or {}
    norm = facts.get("gradient_norm")
    started = job.status.started
    return {
        "Run": job.name,
        "State": STATES[job.state],
        "Samples": facts.get("samples"),
        "Classes": len(facts["classes"]) if "classes" in facts else None,
        "Hessian": facts.get("engine", {}).get("hessian"),
        "Time": words.seconds(sum(timings.values())) if timings else "",
        "|g|": words.number(norm, 2) if norm is not None else "",
        "Started": datetime.fromtimestamp(started) if started else None,
    }


def _facts(job: Job) -> dict[str, Any]:
    try:
        return Run(job.path).provenance
    except (OSError, ValueError):
        return {}


def _details(job: Job) -> None:
    if job.state in ("failed", "cancelled", "stalled"):
        reason = job.status.message or (
            "Its process is gone: it was killed, or the machine ran out of memory or was switched off."
        )
        st.warning(f"**{words.markdown(job.name)}** {STATES[job.state]}: {words.markdown(reason)}")
    with st.container(horizontal=True):
        if job.state == "done":
            st.button("Open this run", key="open_run", type="primary", on_click=switch_run, args=(job.name,))
        elif job.arguments is not None:
            st.button("Resume", key="resume_run", type="primary", on_click=_resume, args=(job.name,))
    for warning in _facts(job).get("warnings", []):
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


def _start() -> None:
    with show.card("start", "Start a run", "It runs as a process of its own on the machine of this dashboard."):
        kind = _kind()
        chosen = corruption_choice(_modality(kind))
        with st.form("new_run", border=False):
            fields: dict[str, Any] = {}
            if kind == "features":
                fields["path"] = st.text_input(
                    "Feature file", placeholder="features.npz", help=".npz with `features` and `labels`, or .parquet"
                )
            elif kind in TEXTS or kind == "table":
                fields |= _text_fields(kind)
            elif kind == "pairs":
                fields |= _image_fields(kind) | _pair_fields()
            elif kind not in BUNDLED:
                fields |= _image_fields(kind)
            fields["name"] = st.text_input("Name of the run", placeholder="letters, digits, . _ -")
            fields["corruptions"] = corruption_fields(chosen)
            with st.expander("Settings"):
                fields |= _pair_settings() if kind == "pairs" else _settings()
            if st.form_submit_button("Start", type="primary"):
                _submit(RunRequest(kind=kind, **fields))
        for problem in st.session_state.pop("start_problems", []):
            st.error(words.markdown(problem))


def _modality(kind: Kind) -> Modality:
    if kind == "pairs":
        return "pairs"
    return "text" if kind in TEXTS else "features" if kind in WITH_FEATURES else "image"


def _kind() -> Kind:
    """What the reader wants to score."""
    groups = {"images": "Image folder", "published": "Published set", "texts": "Texts", "pairs": "Image–caption pairs"}
    groups |= {"table": "Table", "features": "Feature file", "digits": "Digits"}
    group = st.segmented_control(
        "Source", list(groups), format_func=lambda key: groups[key], default="images", required=True, key="new_kind"
    )
    if group == "published":
        names = {"pneumonia": "Pediatric pneumonia", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
        names |= {"imagenette": "Imagenette", "imagewoof": "Imagewoof"}
        return cast(Kind, st.selectbox("Dataset", list(names), format_func=lambda key: names[key], key="new_dataset"))
    if group == "images" and st.toggle("DICOM files", key="new_dicom"):
        return "dicom"
    if group == "texts" and st.toggle("Synthetic demo messages", key="new_demo_texts"):
        return "demo-texts"
    if group == "table" and st.toggle("scikit-learn's breast-cancer data", key="new_breast_cancer"):
        return "breast-cancer"
    return cast(Kind, group)


def _submit(request: RunRequest) -> None:
    problems = request.problems(RunStore())
    if not problems:
        try:
            jobs.start(request.arguments())
        except InputError as error:
            problems = [str(error)]
        else:
            st.rerun()
    st.session_state["start_problems"] = problems


def _image_fields(kind: Kind) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "path": st.text_input(PATHS[kind], placeholder="/data/films", help="On the machine of this dashboard")
    }
    if kind in SPLITS:
        fields["split"] = st.selectbox("Split", SPLITS[kind], help="One at a time: splits are never mixed")
    left, right = st.columns(2)
    with left:
        fields["backbone"] = st.selectbox(
            "Backbone",
            ["resnet18", "resnet50", "squeezenet1_1", "vit_b_16", "convnext_tiny", "pixels"],
            accept_new_options=True,
            help="Any torchvision classification model by name, frozen; `pixels` for tiny images",
        )
    with right:
        fields["weights"] = st.text_input(
            "Weights", value="default", help="`default` downloads torchvision's; or the path of a local file"
        )
    if kind == "images":
        with st.expander("Labels from file names or a table"):
            st.caption("Without these, an image's label is the name of its folder.")
            fields["label_pattern"] = st.text_input("Label pattern", placeholder="(bacteria|virus)")
            fields["label_default"] = st.text_input("Label where the pattern does not match", placeholder="normal")
            fields["group_pattern"] = st.text_input("Group pattern (patient)", placeholder=r"(person\d+)")
            fields["labels_csv"] = st.text_input("CSV of path,label[,split,group]")
    elif kind == "dicom":
        with st.expander("Labels from a header field or a table"):
            st.caption("Without these, an image's label is the name of its folder. Patients are grouped by themselves.")
            fields["label_field"] = st.text_input("Header field of the label", placeholder="ViewPosition")
            fields["labels_csv"] = st.text_input("CSV of path,label[,split,group]")
    return fields


def _pair_fields() -> dict[str, Any]:
    left, right = st.columns(2)
    with left:
        images = st.text_input("Folder of images", placeholder="/data/coco/val2017", key="pair_images")
        encoder = st.selectbox("Text encoder", ["minilm", "tfidf", "bert-base-uncased"], accept_new_options=True)
    with right:
        captions = st.selectbox("Captions of an image", ["all", "first"], help="A pair for each, or for the first only")
        instances = st.text_input("COCO's instances_*.json", help="Optional: labels pairs by what the image shows")
    return {"images": images, "encoder": encoder, "captions": captions, "instances": instances}


def _pair_settings() -> dict[str, Any]:
    decay = st.number_input("Weight decay", value=0.3, min_value=0.0, format="%g", step=0.1)
    return {"hessian": "diag", "weight_decay": float(decay), "feature_scaling": "unit"}


def _text_fields(kind: Kind) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if kind in PATHS:
        fields["path"] = st.text_input(
            PATHS[kind],
            placeholder="/data/reviews.csv",
            help="CSV, TSV, JSONL or Parquet"
            + ("; or a folder: one of .txt files a class, or a Hugging Face dataset" if kind == "texts" else ""),
        )
    if kind in TEXTS:
        left, right = st.columns(2)
        with left:
            fields["encoder"] = st.selectbox(
                "Encoder",
                ["tfidf", "minilm", "bert-base-uncased"],
                accept_new_options=True,
                help="`tfidf` needs no weights; `minilm` is a package of its own; or any transformers encoder: its "
                "name, or the path of a local folder",
            )
        with right:
            fields["pooling"] = st.selectbox("Pooling", ["mean", "cls"], help="Of an encoder's token states")
    if kind in PATHS:
        with st.expander("Columns and splits"):
            st.caption("Left empty, columns with usual names are taken; what cannot be told is asked for.")
            fields["label_column"] = st.text_input("Label column", placeholder="label")
            if kind == "texts":
                fields["text_column"] = st.text_input("Text column", placeholder="text")
                fields["split"] = st.text_input("Split", placeholder="train")
    return fields


def _settings() -> dict[str, Any]:
    left, right = st.columns(2)
    with left:
        hessian = st.selectbox("Hessian", ["diag", "full"], help="full: the exact posterior, slower")
        decay = st.number_input("Weight decay", value=0.01, min_value=0.0, format="%g", step=0.001)
    with right:
        scaling = st.selectbox("Feature scaling", ["standardize", "none"], help="Changes LSI; recorded with the run")
    return {
        "hessian": hessian,
        "weight_decay": float(decay),
        "feature_scaling": scaling,
    }
