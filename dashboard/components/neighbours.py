"""What a sample is compared with: the typical samples of a class that look most like it to the probe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.data import RunData, open_run
from lsi_engine.errors import InputError
from lsi_engine.runs.sources import feature_dimension, features_of
from lsi_engine.runs.store import RunStore

#: Share of the typical distance √(2D) of two unrelated samples below which a pair counts as duplicates.
DUPLICATE = 0.2
MOST_DUPLICATES = 12
#: What the features that samples are compared with may take in memory; of more, evenly spaced samples are kept.
MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Space:
    """``points (M, D)`` float32 standardised features of the run's ``rows (M,)``, ascending, their squared lengths,
    and which of them are typical; ``mean`` and ``scale (D,)`` made them of the features."""

    rows: NDArray[np.intp]
    points: NDArray[np.float32]
    squares: NDArray[np.float32]
    typical: NDArray[np.bool_]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def point(self, data: RunData, row: int) -> NDArray[np.float32]:
        """``(D,)`` of any sample, kept or not."""
        at = int(np.searchsorted(self.rows, row))
        if at < len(self.rows) and self.rows[at] == row:
            return self.points[at]
        features = features_of(data.run, RunStore().cache, np.array([row]))[0]
        return (np.asarray(features, dtype=np.float32) - self.mean) / self.scale


@st.cache_resource(max_entries=2, show_spinner="Reading the features …")
def _space(folder: str, fingerprint: str) -> _Space | str:
    """The run's features for comparing, or the reason why there are none."""
    data = open_run(Path(folder).name)
    try:
        rows = compared_rows(data)
        points = np.array(features_of(data.run, RunStore().cache, rows), dtype=np.float32)
    except (InputError, OSError) as error:
        return str(error)
    # In place, and no copy for the deviations: the matrix is the largest thing that the server holds.
    mean = points.mean(axis=0)
    points -= mean
    scale = np.sqrt(np.einsum("nd,nd->d", points, points) / len(points))
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    points /= scale
    lsi = data.frame["lsi"].to_numpy()
    codes = data.frame["label"].cat.codes.to_numpy()
    typical = np.zeros(len(lsi), dtype=bool)
    for code in np.unique(codes):
        members = codes == code
        typical[members] = lsi[members] <= np.median(lsi[members])
    return _Space(rows, points, np.einsum("nd,nd->n", points, points), typical[rows], mean, scale)


def compared_rows(data: RunData) -> NDArray[np.intp]:
    """Rows that others are compared with: all, or as many evenly spaced ones as ``MOST_BYTES`` hold.

    Raises ``InputError`` when the run's features are gone.
    """
    samples = len(data.frame)
    most = max(MOST_BYTES // (4 * feature_dimension(data.run, RunStore().cache)), 1)
    if samples <= most:
        return np.arange(samples)
    return np.linspace(0, samples - 1, most).round().astype(np.intp)


def compared(data: RunData) -> int:
    """Among how many of the run's samples its neighbours are looked for; 0 where the features are gone."""
    space = _space(str(data.run.path), data.run.fingerprint)
    return 0 if isinstance(space, str) else len(space.rows)


def missing_features(data: RunData) -> str | None:
    """Why this run's samples cannot be compared, or None when they can."""
    found = _space(str(data.run.path), data.run.fingerprint)
    return found if isinstance(found, str) else None


@st.cache_data(max_entries=4000, show_spinner=False)
def _nearest(folder: str, fingerprint: str, row: int, code: int, count: int) -> list[int]:
    space = _space(folder, fingerprint)
    if isinstance(space, str):
        return []
    data = open_run(Path(folder).name)
    codes = data.frame["label"].cat.codes.to_numpy()[space.rows]
    candidates = np.flatnonzero(space.typical & (codes == code) & (space.rows != row))
    distance = space.squares[candidates] - 2 * (space.points[candidates] @ space.point(data, row))
    near = np.argpartition(distance, min(count, len(distance) - 1))[:count] if len(distance) else candidates
    return [int(n) for n in space.rows[candidates[near[np.argsort(distance[near], kind="stable")]]]]


@st.cache_data(max_entries=500, show_spinner=False)
def _duplicates(folder: str, fingerprint: str, row: int) -> list[int]:
    space = _space(folder, fingerprint)
    if isinstance(space, str):
        return []
    point = space.point(open_run(Path(folder).name), row)
    distance = space.squares + point @ point - 2 * (space.points @ point)
    distance[space.rows == row] = np.inf
    near = np.flatnonzero(distance <= DUPLICATE**2 * 2 * space.points.shape[1])
    return [int(n) for n in space.rows[near[np.argsort(distance[near], kind="stable")][:MOST_DUPLICATES]]]


def near_duplicates(data: RunData, row: int) -> list[int]:
    """Rows of the samples within ``DUPLICATE`` of the typical distance of two unrelated ones, nearest first.

    The pairs that :func:`lsi_engine.near_duplicate_groups` joins; empty when the run's features are gone.
    """
    return _duplicates(str(data.run.path), data.run.fingerprint, row)


def nearest_typical(data: RunData, row: int, label: str, count: int = 4) -> list[int]:
    """Rows of the ``count`` nearest typical samples of ``label`` (lower half of its LSI), nearest first.

    Euclidean distance between standardised features; empty when the run's features are gone.
    """
    if label not in data.classes:
        return []
    return _nearest(str(data.run.path), data.run.fingerprint, row, data.classes.index(label), count)
