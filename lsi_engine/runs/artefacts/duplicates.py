"""Near-duplicate clusters of a run's samples, found once and kept as ``<run>/duplicates.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run


def duplicates_folder(run: Run) -> Path:
    """Where a process that looks for near-duplicates reports."""
    return run.path / "duplicates"


def stored_clusters(run: Run) -> NDArray[np.int64] | None:
    """``(N,)`` cluster of each sample, or ``None`` where nobody has looked for them yet."""
    path = run.path / "duplicates.npy"
    return np.load(path, allow_pickle=False) if path.is_file() else None


def keep_clusters(run: Run, clusters: NDArray[np.int64]) -> None:
    """Store what was found for the run's samples, rows as in its scores."""
    with replacing(run.path / "duplicates.npy") as temporary, temporary.open("wb") as file:
        np.save(file, clusters, allow_pickle=False)


def duplicate_clusters(run: Run, cache: Path, progress: Progress = silent) -> NDArray[np.int64]:
    """``(N,)`` cluster of each sample (:func:`lsi_engine.near_duplicate_groups`, default tolerance).

    Raises ``InputError`` when the run's features are gone.
    """
    from lsi_engine.features.near_duplicates import near_duplicate_groups

    found = stored_clusters(run)
    if found is None:
        found = near_duplicate_groups(features_of(run, cache), progress=progress)
        keep_clusters(run, found)
    return found
