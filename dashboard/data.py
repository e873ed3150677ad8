"""Stored runs as the pages see them: read once, shared by all sessions, never copied on a rerun."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import theme
from dashboard.view.view import DECISIONS, View, current_view, set_view
from lsi_engine.curation import Decisions
from lsi_engine.errors import InputError
from lsi_engine.runs.artefacts.projection import Kind, map_folder, stored
from lsi_engine.runs.skill import skill_of
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.runs.sweep import Sweep, sweep_of
from lsi_engine.scores.skill import ProbeSkill

#: What people call one sample, by modality (singular, plural).
NOUNS = {
    "image": ("image", "images"),
    "text": ("text", "texts"),
    "pairs": ("pair", "pairs"),
    "features": ("sample", "samples"),
}
_CATEGORICAL = ("label", "true_label", "suggested_label", "loo_predicted_label", "split", "annotator")


@dataclass(frozen=True)
class RunData:
    """A complete run in memory; read-only, shared between sessions.

    ``frame`` holds the columns of ``scores.parquet`` (class columns as categoricals over ``classes``), for texts
    their ``text`` (shared memory of Arrow strings: 65 MB for 50 000 long reviews), and

    - ``percentile``: float64 in 0..100, the rank of the LSI: 0 the lowest, 100 the highest, ties share the
      mean;
    - ``lsi_rank``: int64 from 1, the highest LSI, to N; ties in the dataset's order.

    ``position`` finds rows by sample id: ``data.position.get_indexer(ids)``.
    """

    run: Run
    frame: pd.DataFrame
    position: pd.Index
    classes: list[str]
    colours: dict[str, str]
    provenance: dict[str, Any]

    @property
    def nouns(self) -> tuple[str, str]:
        return NOUNS.get(self.run.modality, NOUNS["features"])

    @property
    def pairs(self) -> bool:
        """Image–caption pairs: told apart from one another and not by class, so nothing is relabelled."""
        return self.run.modality == "pairs"

    @property
    def dataset(self) -> str:
        """Identifies the samples that were scored; equal for a run and its corrupted twin."""
        return str(self.provenance.get("dataset_fingerprint", self.run.name))

    @cached_property
    def skill(self) -> ProbeSkill | None:
        """What the run's probe knows; ``None`` for pairs."""
        return skill_of(self.run)

    @property
    def caveat(self) -> str | None:
        """One sentence where suspicion cannot be trusted."""
        return None if self.skill is None else self.skill.caveat

    def row(self, sample_id: str) -> int | None:
        """Row of a sample, or None when the run does not have it."""
        found = int(self.position.get_indexer(pd.Index([sample_id]))[0])
        return None if found < 0 else found


def add_ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with ``percentile`` and ``lsi_rank`` (see :class:`RunData`)."""
    lsi = frame["lsi"].to_numpy()
    ascending = frame["lsi"].rank(method="average").to_numpy()
    percentile = 100.0 * (ascending - 1) / max(len(frame) - 1, 1)
    rank = np.empty(len(frame), dtype=np.int64)
    rank[np.argsort(-lsi, kind="stable")] = np.arange(1, len(frame) + 1)
    return frame.assign(percentile=percentile, lsi_rank=rank)


@st.cache_resource(max_entries=6, show_spinner="Opening the run …")
def _read(folder: str, fingerprint: str) -> RunData:
    run = Run(Path(folder))
    frame = add_ranks(run.scores())
    texts = run.texts()
    if texts is not None:
        frame["text"] = texts.reindex(frame["sample_id"]).array
    categories = pd.CategoricalDtype(run.classes)
    for column in _CATEGORICAL:
        if column in frame:
            over_classes = column not in ("split", "annotator")
            frame[column] = frame[column].astype(categories if over_classes else "category")
    return RunData(
        run=run,
        frame=frame,
        position=pd.Index(frame["sample_id"]),
        classes=run.classes,
        colours=theme.class_colours(run.classes),
        provenance=run.provenance,
    )


def open_run(name: str) -> RunData:
    """The run called ``name``, read at most once per content; raises ``InputError`` when there is none."""
    run = RunStore().open(name)
    return _read(str(run.path), run.fingerprint)


def current_run() -> RunData:
    """The run that the session's view names; pages of a run are only shown when there is one."""
    return open_run(current_view().run)


def complete_runs() -> list[str]:
    """Names of the runs that can be opened, newest first."""
    return [run.name for run in RunStore().runs() if run.complete]


def switch_run(name: str) -> None:
    """Open another run, keeping the conditions that mean the same there (see :meth:`View.on_run`)."""
    before, after = current_view(), open_run(name)
    try:
        same = open_run(before.run).dataset == after.dataset
    except InputError:
        same = False
    set_view(before.on_run(name, after.frame, same_samples=same))


def _facts(run: Run) -> dict[str, Any]:
    """Provenance of a complete run; empty when the file is missing or damaged."""
    try:
        return run.provenance
    except (OSError, ValueError):
        return {}


def corrupted_runs() -> list[str]:
    """Complete runs some of whose samples were corrupted on purpose, newest first."""
    return [run.name for run in RunStore().runs() if run.complete and _facts(run).get("corrupted")]


def clean_twin(data: RunData) -> RunData | None:
    """A complete run on the same samples, uncorrupted, with otherwise the same settings; None if there is none."""
    same = {"name", "corruption", "derived_from"}
    wanted = data.run.config.model_dump(exclude=same)
    for run in RunStore().runs():
        if not run.complete or run.name == data.run.name or run.config.corruption:
            continue
        if _facts(run).get("dataset_fingerprint") == data.dataset and run.config.model_dump(exclude=same) == wanted:
            return open_run(run.name)
    return None


def sweep(data: RunData) -> Sweep | None:
    """The runs that differ from this one in one setting of their corruption alone; None when there is none."""
    store = RunStore()
    stored = tuple((run.name, run.fingerprint) for run in store.runs() if run.complete and run.config.corruption)
    return _sweep(str(data.run.path), stored)


@st.cache_resource(max_entries=12, show_spinner=False)
def _sweep(folder: str, stored: tuple[tuple[str, str], ...]) -> Sweep | None:
    return sweep_of(Run(Path(folder)), RunStore())


@st.cache_resource(max_entries=12, show_spinner=False)
def _log(path: Path) -> Decisions:
    return Decisions(path)


def decisions(data: RunData) -> Decisions:
    """The run's review log, one connection for all sessions of this server."""
    return _log(data.run.decisions_path)


def frame_with_decisions(data: RunData, view: View | None = None) -> pd.DataFrame:
    """``data.frame`` and a categorical column ``decision``: the standing one, ``undecided`` where none stands.

    While ``view`` (the session's own when not given) holds an area of a map also ``map_x`` and ``map_y``, if that map
    has been computed.
    The other columns are shared with ``data.frame``, not copied (pandas copies on write).
    """
    codes = _decision_codes(str(data.run.path), data.run.fingerprint, decisions(data).version())
    decided = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(DECISIONS)))
    frame = data.frame.assign(decision=decided)
    lasso = (view or current_view()).lasso
    points = coordinates(data, cast(Kind, lasso[0])) if lasso else None
    return frame if points is None else frame.assign(map_x=points[:, 0], map_y=points[:, 1])


def coordinates(data: RunData, kind: Kind) -> NDArray[np.float32] | None:
    """``(N, 2)`` in 0..1 (see :mod:`lsi_engine.runs.artefacts.projection`), or None where that map is not computed."""
    path = map_folder(data.run) / f"{kind}.npy"
    return _coordinates(str(data.run.path), kind, path.stat().st_mtime_ns) if path.is_file() else None


@st.cache_resource(max_entries=6, show_spinner=False)
def _coordinates(folder: str, kind: Kind, stamp: int) -> NDArray[np.float32] | None:
    return stored(Run(Path(folder)), kind)


@st.cache_resource(max_entries=12, show_spinner=False)
def _decision_codes(folder: str, fingerprint: str, version: int) -> NDArray[np.int8]:
    data = _read(folder, fingerprint)
    codes = np.zeros(len(data.frame), dtype=np.int8)
    if version:
        latest = decisions(data).latest()
        rows = data.position.get_indexer(pd.Index(latest["sample_id"]))
        known = rows >= 0
        codes[rows[known]] = pd.Categorical(latest["action"], categories=list(DECISIONS)).codes[known]
    return codes
