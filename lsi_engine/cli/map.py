"""``lsi map``: a run's features in the plane, for the dashboard's Map page."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import numpy as np
import typer

from lsi_engine.cli.console import Bars, RunName, out
from lsi_engine.runs.store import RunStore


class MapKind(StrEnum):
    umap = "umap"
    pca = "pca"


def map_run(
    name: RunName, kind: Annotated[MapKind, typer.Option("--kind", help="How features are laid out.")] = MapKind.umap
) -> None:
    """Lay a run's features out in the plane (UMAP or PCA) and keep the map with the run."""
    from lsi_engine.runs.artefacts.projection import map_folder, project
    from lsi_engine.runs.reporting import StatusReporter

    store = RunStore()
    run = store.open(name)
    with Bars() as bars, StatusReporter(map_folder(run), bars) as progress:
        points = project(run, store.cache, kind.value, progress)
    left_out = int(np.isnan(points[:, 0]).sum())
    out.print(f"{kind.value} of {len(points) - left_out:,} samples" + (f", {left_out:,} left out" if left_out else ""))
