"""An area drawn on a map: as a link holds it, and which points lie in it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lsi_engine.runs.artefacts.projection import KINDS

#: A map (``pca``, ``umap``) and the corners of an area drawn on it, in its units of 0 to 1.
Lasso = tuple[str, tuple[tuple[float, float], ...]]
#: More corners than a hand draws are no lasso.
MOST_CORNERS = 200


def written(lasso: Lasso) -> str:
    """``umap:0.1,0.2;0.3,0.4;…``"""
    return f"{lasso[0]}:" + ";".join(f"{x!r},{y!r}" for x, y in lasso[1])


def parsed(text: str) -> Lasso | None:
    """What :func:`written` wrote; ``None`` for anything else."""
    kind, colon, corners = text.partition(":")
    if not colon or kind not in KINDS:
        return None
    try:
        points = tuple((float(x), float(y)) for x, y in (corner.split(",") for corner in corners.split(";")))
    except ValueError:
        return None
    usable = 3 <= len(points) <= MOST_CORNERS and all(math.isfinite(v) for point in points for v in point)
    return (kind, points) if usable else None


def inside(points: NDArray[np.float64], corners: Iterable[tuple[float, float]]) -> NDArray[np.bool_]:
    """``(N,)`` bool: which ``points (N, 2)`` lie in the polygon (even–odd rule); NaN lies nowhere."""
    ends = np.asarray(list(corners), dtype=np.float64)
    low, high = ends.min(axis=0), ends.max(axis=0)
    near = ((points >= low) & (points <= high)).all(axis=1)
    x, y = points[near].T
    odd = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        if y1 != y2:
            odd ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    near[near] = odd
    return near
