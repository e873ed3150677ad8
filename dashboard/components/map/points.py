"""The map of a run: its points over HTTP, and the component that draws them.

``/points/{run}/{map}/{what}`` serves raw little-endian numbers, one or two a drawn sample in the run's order: ``place``
(float32 x, y in 0..1), ``ids`` (text, one a line), and what points are coloured by (uint16, a place in a palette).
At most ``MOST_DRAWN`` points are sent, once, and stay in the browser; a rerun of the page sends a bit a point. Areas
that a reader draws are looked up among all points, here.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from plotly.colors import sample_colorscale, unconvert_from_RGB_255, unlabel_rgb
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard import theme
from dashboard.components.assets import script, text_of
from dashboard.components.media import image_url
from dashboard.data import RunData, coordinates
from dashboard.view.lasso import Lasso
from dashboard.view.view import DECISIONS
from lsi_engine.curation import Decisions
from lsi_engine.errors import InputError
from lsi_engine.runs.artefacts.projection import KINDS, Kind, stored
from lsi_engine.runs.store import Run, RunStore

#: What points can be coloured by, and its name on screen.
COLOURS = {"lsi": "LSI", "label": "Label", "suspicion": "Suspicion", "decision": "Decision"}
#: Points that are sent and drawn: 100 000 are 1 MB, and a browser without a graphics card still keeps up.
MOST_DRAWN = 100_000
#: Steps of a score's colour scale.
STEPS = 256
_DECISION_COLOURS = (theme.NEUTRAL, *theme.OKABE_ITO[:2], theme.OKABE_ITO[2], theme.OKABE_ITO[6])
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}


def point_routes() -> list[BaseRoute]:
    """The routes that the application mounts beside Streamlit's own."""
    return [Route("/points/{run}/{kind}/{what}", _serve, methods=["GET"])]


async def _serve(request: Request) -> Response:
    wanted = request.path_params
    found = await asyncio.to_thread(_content, wanted["run"], wanted["kind"], wanted["what"])
    if found is None:
        return PlainTextResponse("no such points", 404, _HEADERS)
    keep = "private, max-age=31536000, immutable" if "v" in request.query_params else "private, no-cache"
    return Response(found, media_type="application/octet-stream", headers=_HEADERS | {"Cache-Control": keep})


def drawn_rows(points: NDArray[np.floating]) -> NDArray[np.intp]:
    """Rows of ``points (N, 2)`` that are drawn: those that the map places, or ``MOST_DRAWN`` evenly spaced ones."""
    placed = np.flatnonzero(np.isfinite(points[:, 0]))
    if len(placed) <= MOST_DRAWN:
        return placed
    return placed[np.linspace(0, len(placed) - 1, MOST_DRAWN).round().astype(np.intp)]


def _content(name: str, kind: str, what: str) -> bytes | None:
    try:
        run = RunStore().open(name)
        points = stored(run, kind) if kind in KINDS else None
        if points is None:
            return None
        rows = drawn_rows(points)
        if what == "place":
            return points[rows].astype("<f4").tobytes()
        if what not in ("ids", *COLOURS):
            return None
        needed = ["sample_id", *([what] if what in ("lsi", "label", "suspicion") else [])]
        scores = pd.read_parquet(run.path / "scores.parquet", columns=needed)
    except (InputError, OSError):
        return None
    if what == "ids":
        return "\n".join(scores["sample_id"].iloc[rows]).encode()
    return codes(run, scores, what)[rows].astype("<u2").tobytes()


def codes(run: Run, scores: pd.DataFrame, what: str) -> NDArray[np.integer]:
    """``(N,)`` place of each sample in the palette of :func:`palette`; LSI by rank, because it has a long tail."""
    match what:
        case "label":
            return pd.Categorical(scores["label"].astype("str"), categories=run.classes).codes.astype(np.int64)
        case "decision":
            latest = Decisions(run.decisions_path).latest()
            made = np.zeros(len(scores), dtype=np.int64)
            rows = pd.Index(scores["sample_id"]).get_indexer(pd.Index(latest["sample_id"]))
            made[rows[rows >= 0]] = pd.Categorical(latest["action"], categories=list(DECISIONS)).codes[rows >= 0]
            return made
        case "suspicion":
            return np.clip(scores["suspicion"].to_numpy() * (STEPS - 1), 0, STEPS - 1).round().astype(np.int64)
        case _:
            ranks = scores["lsi"].rank(method="average").to_numpy() - 1
            return (ranks / max(len(scores) - 1, 1) * (STEPS - 1)).round().astype(np.int64)


def palette(data: RunData, what: str) -> list[str]:
    """Hex colours by code."""
    if what == "label":
        return [data.colours[name] for name in data.classes]
    if what == "decision":
        return list(_DECISION_COLOURS)
    # The end of a scale that would sink into the page is left off: the dark one at night, the pale one by day.
    ends = (0.3, 1.0) if theme.is_dark() else (0.0, 0.92)
    scale = sample_colorscale("Cividis" if what == "lsi" else "Plasma", np.linspace(*ends, STEPS).tolist())
    made = [unconvert_from_RGB_255(unlabel_rgb(colour)) for colour in scale]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in made]


def point_map(
    data: RunData,
    kind: Kind,
    colour: str,
    *,
    shown: NDArray[np.bool_] | None,
    lasso: Lasso | None,
    version: int,
    key: str,
    on_lasso: Callable[[], None],
) -> Any:
    """Draw the map; ``shown (N,)`` points are bright (all when ``None``), the others dim.

    The result's ``lasso`` is a list of corners once the reader has drawn an area, ``open`` a sample id they clicked.
    ``version`` changes with the decisions.
    """
    run = data.run
    root, stamp = f"/points/{quote(run.name)}/{kind}", f"?v={run.fingerprint[:16]}"
    if shown is not None:
        points = coordinates(data, kind)
        shown = shown if points is None else shown[drawn_rows(points)]
    content = {
        "points": f"{root}/place{stamp}",
        "ids": f"{root}/ids{stamp}",
        "codes": f"{root}/{colour}{stamp}" + (f"-{version}" if colour == "decision" else ""),
        "labels": f"{root}/label{stamp}",
        "classes": data.classes,
        "palette": palette(data, colour),
        "picture": image_url(run, "SAMPLE", "192") if run.modality == "image" else None,
        "shown": None if shown is None else base64.b64encode(np.packbits(shown).tobytes()).decode(),
        "lasso": [list(corner) for corner in lasso[1]] if lasso and lasso[0] == kind else None,
        "file": f"{run.name}-map-{kind}-{colour}",
        "alt": f"{kind.upper()} map of {len(data.frame)} {data.nouns[1]}, coloured by {COLOURS[colour]}",
    }
    return st.components.v2.component(
        "lsi_map",
        html=text_of("components/map/map.html"),
        css=text_of("components/map/map.css"),
        js=script("map"),
    )(key=key, data=content, on_lasso_change=on_lasso, on_open_change=lambda: None)


def legend(data: RunData, colour: str) -> Sequence[tuple[str, str]]:
    """(name, hex colour) lines that explain the palette."""
    colours = palette(data, colour)
    if colour == "label":
        return list(zip(data.classes, colours, strict=True))
    if colour == "decision":
        return list(zip(DECISIONS, colours, strict=True))
    if colour == "lsi":
        return [("lowest LSI", colours[0]), ("median", colours[STEPS // 2]), ("highest", colours[-1])]
    return [("suspicion 0", colours[0]), ("0.5", colours[STEPS // 2]), ("1", colours[-1])]
