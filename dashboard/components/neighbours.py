"""What a sample is compared with: the typical samples of a class that look most like it to the probe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.data import RunData, open_run
from lsi_engine.errors import InputError
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStore

#: Share of the typical distance √(2D) of two unrelated samples below which a pair counts as duplicates.
DUPLICATE = 0.2
MOST_DUPLICATES = 12


@dataclass(frozen=True)
class _Space:
    """``points (N, D)`` float32 standardised features, their squared lengths, and which samples are typical."""

    points: NDArray[np.float32]
    squares: NDArray[np.float32]
    typical: NDArray[np.bool_]


@st.cache_resource(max_entries=2, show_spinner="Reading the features …")
def _space(folder: str, fingerprint: str) -> _Space | str:
    """The run's features for comparing, or the reason why there are none."""
    data = open_run(Path(folder).name)
    try:
        features = np.asarray(features_of(data.run, RunStore().cache), dtype=np.float32)
    except (InputError, OSError) as error:
        return str(error)
    scale = features.std(axis=0)
    points = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1)
    lsi = data.frame["lsi"].to_numpy()
    codes = data.frame["label"].cat.codes.to_numpy()
    typical = np.zeros(len(lsi), dtype=bool)
    for code in np.unique(codes):
        members = codes == code
        typical[members] = lsi[members] <= np.median(lsi[members])
    return _Space(points, np.einsum("nd,nd->n", points, points), typical)


def missing_features(data: RunData) -> str | None:
    """Why this run's samples cannot be compared, or None when they can."""
    found = _space(str(data.run.path), data.run.fingerprint)
    return found if isinstance(found, str) else None


@st.cache_data(max_entries=4000, show_spinner=False)
def _nearest(folder: str, fingerprint: str, row: int, code: int, count: int) -> list[int]:
    space = _space(folder, fingerprint)
    if isinstance(space, str):
        return []
    codes = open_run(Path(folder).name).frame["label"].cat.codes.to_numpy()
    candidates = np.flatnonzero(space.typical & (codes == code))
    candidates = candidates[candidates != row]
    distance = space.squares[candidates] - 2 * (space.points[candidates] @ space.points[row])
    near = np.argpartition(distance, min(count, len(distance) - 1))[:count] if len(distance) else candidates
    return [int(n) for n in candidates[near[np.argsort(distance[near], kind="stable")]]]


@st.cache_data(max_entries=500, show_spinner=False)
def _duplicates(folder: str, fingerprint: str, row: int) -> list[int]:
    space = _space(folder, fingerprint)
    if isinstance(space, str):
        return []
    distance = space.squares + space.squares[row] - 2 * (space.points @ space.points[row])
    distance[row] = np.inf
    near = np.flatnonzero(distance <= DUPLICATE**2 * 2 * space.points.shape[1])
    return [int(n) for n in near[np.argsort(distance[near], kind="stable")][:MOST_DUPLICATES]]


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
