"""A run's features in the plane: PCA at once, UMAP in the background; kept in ``<run>/map`` once computed.

Coordinates are ``(N, 2)`` float32, rows as in the run's scores, shifted and scaled by one factor so that they fill the
square from 0 to 1 without changing shape; a sample that a map leaves out has NaN (maps of an earlier version). Both see
standardised features (mean 0, standard deviation 1 a column), whatever the run's own scaling.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run

Kind = Literal["pca", "umap"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: UMAP lays out at most this many samples; of more, an evenly spaced choice, and the rest are placed among those.
MOST_PLACED = 50_000
#: Principal components that UMAP measures distances in.
COMPONENTS = 50
NEIGHBOURS = 15
#: Samples beside which one that was not laid out is placed.
BESIDE = 5
#: Rows that are projected at a time: 32 MB of 512 columns.
BLOCK_ROWS = 16_384
EPOCHS = 200


def map_folder(run: Run) -> Path:
    return run.path / "map"


def stored(run: Run, kind: Kind) -> NDArray[np.float32] | None:
    """The kept coordinates ``(N, 2)``, or ``None`` where they have not been computed."""
    path = map_folder(run) / f"{kind}.npy"
    if not path.is_file():
        return None
    return np.load(path, allow_pickle=False)


def project(run: Run, cache: Path, kind: Kind, progress: Progress = silent) -> NDArray[np.float32]:
    """The coordinates of every sample, computed unless they are kept already.

    Equal features give equal coordinates (seed 0, one thread). Raises ``InputError`` when the features are gone.
    """
    if kind not in KINDS:
        raise InputError(f"there is no map {kind!r}; choose one of {', '.join(KINDS)}")
    kept = stored(run, kind)
    if kept is not None:
        return kept
    progress("features", 0, 1)
    features = features_of(run, cache)
    progress("features", 1, 1)
    if kind == "pca":
        placed = _principal(features, 2, progress)[:, :2]
    else:
        rows = placed_rows(len(features))
        points = _principal(features, COMPONENTS, progress)
        placed = np.zeros((len(features), 2), dtype=np.float32)
        placed[rows] = _umap(points[rows], progress)
        _place_rest(placed, points, rows, progress)
    square = _in_unit_square(placed)
    with replacing(map_folder(run) / f"{kind}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, square, allow_pickle=False)
    return square


def placed_rows(samples: int) -> NDArray[np.intp]:
    """Rows that UMAP lays out: all, or ``MOST_PLACED`` evenly spaced ones."""
    if samples <= MOST_PLACED:
        return np.arange(samples)
    return np.linspace(0, samples - 1, MOST_PLACED).round().astype(np.intp)


def _principal(features: NDArray[np.floating], components: int, progress: Progress) -> NDArray[np.float32]:
    """``(N, components)`` of all rows, along directions found in the rows of :func:`placed_rows`.

    Rows are read a block at a time, so that a memory-mapped matrix of any length will do.
    """
    from sklearn.decomposition import PCA

    progress("components", 0, len(features))
    points = np.array(features[placed_rows(len(features))], dtype=np.float32)
    mean, scale = points.mean(axis=0), points.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    points -= mean
    points /= scale
    wanted = min(components, *points.shape)
    method = PCA(wanted, svd_solver="auto", random_state=0).fit(points)
    found = np.zeros((len(features), max(wanted, 2)), dtype=np.float32)
    for start in range(0, len(features), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, len(features)))
        block = (np.asarray(features[rows], dtype=np.float32) - mean) / scale
        found[rows, :wanted] = method.transform(block)
        progress("components", rows.stop, len(features))
    return found


def _umap(points: NDArray[np.float32], progress: Progress) -> NDArray[np.float32]:
    progress("neighbours", 0, 1)
    from umap import UMAP  # seconds to import: it compiles

    bar = {"disable": False, "file": _Epochs(progress), "bar_format": "{n}", "mininterval": 0.5}
    neighbours = min(NEIGHBOURS, len(points) - 1)
    method = UMAP(n_neighbors=neighbours, n_epochs=EPOCHS, random_state=0, n_jobs=1, tqdm_kwds=bar)
    found = method.fit_transform(points)
    progress("layout", EPOCHS, EPOCHS)
    return np.asarray(found, dtype=np.float32)


def _place_rest(
    placed: NDArray[np.float32], points: NDArray[np.float32], rows: NDArray[np.intp], progress: Progress
) -> None:
    """Fill ``placed (N, 2)`` beyond ``rows``: the mean of the ``BESIDE`` nearest of those, weighted by 1 / distance.

    UMAP's own ``transform`` starts from such a mean, too, and goes on with a layout of its own, which a million samples
    would wait long for. Distances are those of ``points (N, components)``. Stage "placing", in samples.
    """
    from sklearn.neighbors import NearestNeighbors

    rest = np.setdiff1d(np.arange(len(points)), rows)
    if not len(rest):
        return
    search = NearestNeighbors(n_neighbors=min(BESIDE, len(rows)), algorithm="brute").fit(points[rows])
    for start in range(0, len(rest), BLOCK_ROWS):
        progress("placing", start, len(rest))
        block = rest[start : start + BLOCK_ROWS]
        distance, nearest = search.kneighbors(points[block])
        weight = 1 / np.maximum(distance, 1e-6)
        weight /= weight.sum(axis=1, keepdims=True)
        placed[block] = np.einsum("nk,nkd->nd", weight, placed[rows[nearest]])
    progress("placing", len(rest), len(rest))


class _Epochs(io.TextIOBase):
    """Where UMAP's progress bar is printed: the epoch's number, handed on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        if number := re.search(r"\d+", text):
            self._progress("layout", int(number[0]), EPOCHS)
        return len(text)


def _in_unit_square(points: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    size = float((high - low).max()) or 1.0
    centred = (points - (low + high) / 2) / size + 0.5
    return centred.astype(np.float32)
