"""``lsi duplicates``: which samples of a run are nearly the same, for exports, parts and the dashboard."""

from __future__ import annotations

import numpy as np

from lsi_engine.cli.console import Bars, RunName, out
from lsi_engine.runs.store import RunStore


def find_duplicates(name: RunName) -> None:
    """Find near-duplicates among a run's samples and keep their clusters with the run."""
    from lsi_engine.runs.artefacts.duplicates import duplicate_clusters, duplicates_folder
    from lsi_engine.runs.reporting import StatusReporter

    store = RunStore()
    run = store.open(name)
    folder = duplicates_folder(run)
    folder.mkdir(exist_ok=True)
    with Bars() as bars, StatusReporter(folder, bars) as progress:
        sizes = np.bincount(duplicate_clusters(run, store.cache, progress))
    several = sizes[sizes > 1]
    out.print(f"{len(several):,} clusters of near-duplicates hold {several.sum():,} of {sizes.sum():,} samples")
