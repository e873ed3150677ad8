"""Pictures over HTTP: ``/image/{run}/{sample_id}/{size}`` serves one sample of a stored run as WebP.

A picture is found by run and sample id only; a path never comes from outside. It is decoded and scaled once, off
the event loop, and kept in ``<cache>/thumbnails`` by the hash of the sample's bytes, so a run and its corrupted
twin share their pictures. A row of a feature file without a picture gets a drawn placeholder. (``/media`` and
``/static`` belong to Streamlit, hence ``/image``.)

``/deep/{run}/{sample_id}`` serves all bits of a grey picture that has more than 8: little-endian uint16, row by row,
and in the header ``X-LSI-Deep`` as JSON what :class:`lsi_engine.samples.images.deep.DeepImage` says beside its values.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard import words
from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.samples.images.deep import DeepImage
from lsi_engine.samples.media import is_deep, open_deep, open_media

#: Longest side in pixels by size name; ``full`` is the original up to what a screen can show.
SIZES = {"96": 96, "192": 192, "384": 384, "full": 4096}
#: Stands for all bits where a size is asked for.
DEEP = "deep"
#: Images up to this size are shown as crisp pixels: enlarged by a whole factor, nearest neighbour, lossless.
PIXEL_ART = 64
PIXEL_ART_FULL = 384
#: Raise when `encode` draws differently: kept pictures, on the disk and in browsers, are then made again.
ENCODING = 1
_PRIVATE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}


def image_url(run: Run, sample_id: str, size: str) -> str:
    """Where a sample's picture is served. The version in it lets the browser keep the picture for good."""
    return f"/image/{quote(run.name)}/{quote(sample_id, safe='')}/{size}?v={ENCODING}-{run.fingerprint[:16]}"


def deep_url(run: Run, sample_id: str) -> str | None:
    """Where all bits of a sample's picture are served; ``None`` where it has 8 bits or cannot be read."""
    if not _is_deep(str(run.path), (run.path / "samples.parquet").stat().st_mtime_ns, sample_id):
        return None
    return f"/deep/{quote(run.name)}/{quote(sample_id, safe='')}?v={ENCODING}-{run.fingerprint[:16]}"


@lru_cache(maxsize=4000)
def _is_deep(folder: str, stamp: int, sample_id: str) -> bool:
    pictures = _pictures(folder, stamp)
    found = pictures.find(sample_id) if pictures else None
    return pictures is not None and found is not None and is_deep(pictures.source, found[0])


@lru_cache(maxsize=32)
def _pixel_art(folder: str, stamp: int) -> bool:
    pictures = _pictures(folder, stamp)
    try:
        if pictures is None:
            return False
        first = pictures.media[pictures.media != ""].iloc[0]
        return max(open_media(pictures.source, str(first)).size) <= PIXEL_ART
    except (InputError, IndexError):
        return False


def is_pixel_art(run: Run) -> bool:
    """Whether a run's pictures are tiny, judged by the first: then they are shown small, not blown up."""
    return _pixel_art(str(run.path), (run.path / "samples.parquet").stat().st_mtime_ns)


def media_routes() -> list[BaseRoute]:
    """The routes that the application mounts beside Streamlit's own."""
    return [
        Route("/image/{run}/{sample_id}/{size}", _serve, methods=["GET"]),
        Route("/deep/{run}/{sample_id}", _serve, methods=["GET"]),
    ]


@dataclass(frozen=True)
class _Pictures:
    """Where one run's pictures come from."""

    source: dict[str, Any]
    position: pd.Index
    media: pd.Series
    content: pd.Series

    def find(self, sample_id: str) -> tuple[str, str] | None:
        try:
            row = self.position.get_loc(sample_id)
        except KeyError:
            return None
        return str(self.media.iloc[row]), str(self.content.iloc[row])


@cache
def _decoders() -> ThreadPoolExecutor:
    """Pillow releases the interpreter lock while it decodes; more threads than cores only hide disk waits."""
    return ThreadPoolExecutor((os.cpu_count() or 2) + 2, thread_name_prefix="decode")


@lru_cache(maxsize=8)
def _pictures(folder: str, stamp: int) -> _Pictures | None:
    run = Run(Path(folder))
    table = run.samples()
    content = "image_content" if "image_content" in table else "content"
    if "media" not in table or content not in table or run.modality not in ("image", "pairs"):
        return None
    return _Pictures(run.config.source, pd.Index(table["sample_id"]), table["media"], table[content])


def _open(name: str) -> _Pictures | None:
    try:
        run = RunStore().open(name)
        return _pictures(str(run.path), (run.path / "samples.parquet").stat().st_mtime_ns)
    except (InputError, FileNotFoundError):
        return None


async def _serve(request: Request) -> Response:
    # A page of another site that had its name point at this machine (DNS rebinding) sends its own name as host.
    wanted = request.path_params
    return await asyncio.get_running_loop().run_in_executor(
        _decoders(),
        answer,
        wanted["run"],
        wanted["sample_id"],
        wanted.get("size", DEEP),
        request.headers.get("if-none-match"),
        "v" in request.query_params,
    )


def answer(name: str, sample_id: str, size: str, known: str | None, versioned: bool) -> Response:
    """The picture of one sample in one of ``SIZES`` or in ``DEEP``, or why there is none.

    ``known`` is the tag of what the browser has.
    """
    pictures = _open(name)
    found = pictures.find(sample_id) if pictures and (size in SIZES or size == DEEP) else None
    if pictures is None or found is None:
        return PlainTextResponse("no such picture", 404, _PRIVATE)
    media, content = found
    if not media:
        return _no_picture(sample_id, size)
    tag = f'"{content}-{size}-{ENCODING}"'
    keep = "private, max-age=31536000, immutable" if versioned else "private, no-cache"
    headers = _PRIVATE | {"ETag": tag, "Cache-Control": keep}
    if known == tag:
        return Response(status_code=304, headers=headers)
    try:
        if size == DEEP:
            deep = open_deep(pictures.source, media)
            return PlainTextResponse("8 bits are all", 404, _PRIVATE) if deep is None else _all_bits(deep, headers)
        picture = _picture(pictures.source, media, content, size)
    except InputError as error:
        return PlainTextResponse(str(error), 404, _PRIVATE | {"Cache-Control": "no-store"})
    return Response(picture, media_type="image/webp", headers=headers)


def _no_picture(sample_id: str, size: str) -> Response:
    """What stands in for the picture of a row that never had one: calm, and with its id."""
    if size == DEEP:
        return PlainTextResponse("no picture", 404, _PRIVATE)
    # A tile is 80 to 200 pixels wide, whatever it is asked for, and its letters shrink with it.
    side, large, small, most = (192, 15, 12, 26) if size == "full" else (96, 14, 10.5, 14)
    shown = words.escape(words.shortened(sample_id, most))
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="192" height="192" viewBox="0 0 {side} {side}">'
        f'<rect width="{side}" height="{side}" fill="#2a2e34"/><g text-anchor="middle" font-family="sans-serif">'
        f'<text x="50%" y="{side / 2 - 3}" font-size="{large}" fill="#d5dae0">No picture</text>'
        f'<text x="50%" y="{side / 2 + small + 4}" font-size="{small}" fill="#b9bfc8">{shown}</text></g></svg>'
    )
    return Response(drawn, media_type="image/svg+xml", headers=_PRIVATE | {"Cache-Control": "private, no-cache"})


def pictured(run: Run, sample_ids: pd.Series) -> NDArray[np.bool_]:
    """``(n,)``: which of these samples of an image run have a picture. Only rows of a feature file may have none."""
    pictures = _pictures(str(run.path), (run.path / "samples.parquet").stat().st_mtime_ns)
    if pictures is None:
        return np.zeros(len(sample_ids), dtype=bool)
    return (pictures.media != "").to_numpy()[pictures.position.get_indexer(pd.Index(sample_ids))]


def _all_bits(deep: DeepImage, headers: dict[str, str]) -> Response:
    facts = asdict(replace(deep, values=deep.values[:0]))
    del facts["values"]
    height, width = deep.values.shape
    told = json.dumps(facts | {"width": width, "height": height}, allow_nan=False)
    content = deep.values.astype("<u2", copy=False).tobytes()
    return Response(content, media_type="application/octet-stream", headers=headers | {"X-LSI-Deep": told})


def thumbnail(run: Run, sample_id: str, size: str) -> bytes | None:
    """A sample's picture as WebP, as the route serves it; None where the sample has none that can be opened."""
    served = answer(run.name, sample_id, size, None, versioned=True)
    return bytes(served.body) if served.media_type == "image/webp" else None


def _picture(source: dict[str, Any], media: str, content: str, size: str) -> bytes:
    """The kept WebP, or a fresh one, which is then kept; a cache that cannot be written is no error."""
    kept = RunStore().cache / "thumbnails" / content[:2] / f"{content}-{size}-{ENCODING}.webp"
    try:
        return kept.read_bytes()
    except OSError:
        pass
    picture = encode(open_media(source, media), size)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Not `replacing`: a lost thumbnail is made again, so waiting for the disk would only cost time.
        with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".tmp", delete=False) as temporary:
            temporary.write(picture)
        os.replace(temporary.name, kept)
    except OSError:
        pass
    return picture


def encode(image: Image.Image, size: str) -> bytes:
    """``image`` scaled to ``size`` (a key of ``SIZES``) as WebP."""
    longest, limit = max(image.size), SIZES[size]
    buffer = io.BytesIO()
    if longest <= PIXEL_ART:
        factor = max(1, min(limit, PIXEL_ART_FULL) // longest)
        crisp = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        # The least effort: a twentieth of the time for half as much again, which is 3 kB.
        crisp.save(buffer, "WEBP", lossless=True, method=0, quality=0)
        return buffer.getvalue()
    if longest > limit:
        image.thumbnail((limit, limit), Image.Resampling.LANCZOS, reducing_gap=2.0)
    image.save(buffer, "WEBP", quality=94 if size == "full" else 82, method=1)
    return buffer.getvalue()
