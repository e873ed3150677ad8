"""The blinded desk: what a reader is shown, and the pictures behind case ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.components.assets import script, text_of
from dashboard.components.media import DEEP, answer, deep_url, is_pixel_art
from dashboard.data import RunData
from lsi_engine.curation.readings import Case, Readings
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run, RunStore

#: Cases sent ahead of the reader, pictures included.
AHEAD = 6


def readings_of(run: Run) -> Readings:
    return Readings(run.path / "readings.sqlite")


def case_routes() -> list[BaseRoute]:
    """``/case/{run}/{case}``: a picture by case id, so that no sample id ever reaches a blinded reader; with ``/deep``
    all its bits (see :mod:`dashboard.components.media`)."""
    return [
        Route("/case/{run}/{case}", _serve, methods=["GET"]),
        Route("/case/{run}/{case}/deep", _serve_deep, methods=["GET"]),
    ]


async def _serve(request: Request) -> Response:
    return await _of_case(request, "full")


async def _serve_deep(request: Request) -> Response:
    return await _of_case(request, DEEP)


async def _of_case(request: Request, size: str) -> Response:
    return await asyncio.to_thread(_picture, request.path_params["run"], request.path_params["case"], size)


def _picture(name: str, case: str, size: str) -> Response:
    try:
        sample_id = readings_of(RunStore().open(name)).sample_of(case)
    except InputError:
        sample_id = None
    if sample_id is None:
        return PlainTextResponse("no such case", 404)
    served = answer(name, sample_id, size, None, versioned=True)
    if "etag" in served.headers:  # it is made from the picture, and the same in both rounds
        del served.headers["etag"]
    return served


def shown(data: RunData, case: Case) -> dict[str, Any]:
    """One case as the desk draws it: a picture or a text, and nothing that says which sample it is."""
    made: dict[str, Any] = {"id": case.id}
    if data.run.modality == "image":
        source = f"/case/{quote(data.run.name)}/{case.id}"
        deep = f"{source}/deep" if deep_url(data.run, case.sample_id) else None
        made |= {"src": source, "tiny": is_pixel_art(data.run), "deep": deep}
    else:
        row = data.row(case.sample_id)
        made["text"] = str(data.frame["text"].iloc[row]) if row is not None else "This sample is gone."
    return made


def desk() -> Callable[..., Any]:
    """The component; its state ``outbox`` holds answers that are not yet acknowledged."""
    return st.components.v2.component(
        "lsi_reading",
        html=text_of("desks/reading/reading.html"),
        css=text_of("components/tiles/tiles.css", "desks/review/review.css", "desks/reading/reading.css"),
        js=script("reading"),
    )


def record(readings: Readings, outbox: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write the answers of an outbox; returns the tokens that the desk may forget."""
    for act in outbox:
        readings.record(str(act["case"]), str(act["label"]), note=str(act.get("note") or ""), token=str(act["token"]))
    return [str(act["token"]) for act in outbox]
