"""Near-duplicate clusters of a run's samples, found once and kept as ``<run>/duplicates.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsi_engine.progress import Progress, silent
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run, replacing


def duplicate_clusters(run: Run, cache: Path, progress: Progress = silent) -> NDArray[np.int64]:
    """``(N,)`` cluster of each sample (:func:`lsi_engine.near_duplicate_groups`, default tolerance).

    Raises ``InputError`` when the run's features are gone.
    """
    from lsi_engine.information.duplicates import near_duplicate_groups

    path = run.path / "duplicates.npy"
    if not path.is_file():
        found = near_duplicate_groups(features_of(run, cache), progress=progress)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, found, allow_pickle=False)
    return np.load(path, allow_pickle=False)
