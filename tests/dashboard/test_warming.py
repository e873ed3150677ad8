"""Warming: what the start page shows of the newest run is there before the first visit, and a bad run stops nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dashboard.data import frame_with_decisions, open_run
from dashboard.pages import overview
from dashboard.view.selection import Selection
from dashboard.view.view import View
from dashboard.warming import warm
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", features=random.normal(size=(30, 4)), labels=np.repeat(["a", "b"], 15))
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    source = {"kind": "feature_file", "path": str(tmp_path / "rows.npz")}
    yield compute(RunConfig(name="rows", source=source), RunStore())[0]
    gc.unfreeze()


def test_the_first_visit_finds_the_figures_drawn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_freeze_count()
    warm()
    assert gc.get_freeze_count() > before
    monkeypatch.setattr(overview, "histogram", None)  # would have to be called
    monkeypatch.setattr(overview, "rank_plot", None)
    view = View(run="rows")
    data = open_run("rows")
    selection = Selection(data, view, frame_with_decisions(data, view))
    assert len(overview.tail_chart(selection).table)
    assert len(overview.rank_chart(selection).table)


def test_a_damaged_run_is_left_to_its_page(run: Run) -> None:
    (run.path / "scores.parquet").write_bytes(b"PAR1")
    warm()
