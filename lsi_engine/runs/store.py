"""Runs on disk: one folder a run, written atomically, read without pickle.

``<cache>/runs/<name>/``

=======================  =====================================================================================
``config.json``          what was asked for (:class:`RunConfig`), and the folder's ``format``
``status.json``          where it stands (:class:`RunStatus`); replaced atomically, heartbeat included
``provenance.json``      dataset fingerprint, class names, versions, timings, gradient norm, machine
``samples.parquet``      the sample table (see :class:`lsi_engine.samples.SampleSet`)
``skipped.parquet``      ``item, reason``: what could not be used
``scores.parquet``       one row a sample: the sample table without ``media``, ``text`` and ``content``, then the
                         columns of ``ScoreTable``; its presence means that the run is complete
``probabilities.npy``    ``(N, C)`` float32 leave-one-out class probabilities, columns in the order of ``classes``
``seed_scores.npz``      of trained probes: ``seeds (k,)``, ``epochs (E,)``, ``mean_shift`` and ``covariance``
                         ``(k, E, n)`` float64 (optional)
``shards/``              finished leave-one-out trainings of a run that is not finished yet
``probe.safetensors``    ``weight (C, D)``, ``bias (C,)``, float64, in the units of the scaled features;
                         ``feature_mean (D,)``, ``feature_scale (D,)``
``features.npy``         ``(N, D)`` unscaled, where corruption made features that neither source nor cache has
``decisions.sqlite``     the review log (:mod:`lsi_engine.curation`); never written by the engine's computation
``duplicates.npy``       ``(N,)`` int64 cluster of near-duplicates of each sample, once asked for;
                         ``duplicates/`` is where the process that finds them reports
``map/``                 where the samples lie in the plane (``runs/artefacts/projection.py``), once asked for
``subsets/``             which part of the data trains best (``runs/artefacts/subsets.py``), once asked for
``cancel``               exists when someone asked the running process to stop
=======================  =====================================================================================
"""

from __future__ import annotations

import os
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig, read_config, read_object

RunState = Literal["queued", "running", "done", "failed", "cancelled"]
#: A running process renews its heartbeat at least this often (seconds); older than three of them means it died.
HEARTBEAT_SECONDS = 5.0
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class RunStatus(BaseModel):
    """Where a run stands. Times are seconds since the epoch."""

    state: RunState = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    rate: float | None = Field(default=None, description="units a second in this stage")
    eta_seconds: float | None = None
    message: str = ""
    pid: int | None = None
    started: float | None = None
    heartbeat: float | None = None
    finished: float | None = None

    @property
    def stalled(self) -> bool:
        """True when the run says it is running but its process is gone or has stopped renewing the heartbeat."""
        if self.state != "running":
            return False
        silent = time.time() - (self.heartbeat or 0) > 3 * HEARTBEAT_SECONDS
        return silent or (self.pid is not None and not psutil.pid_exists(self.pid))


def cache_folder() -> Path:
    """The folder that holds runs and features: ``LSI_CACHE`` if set, else ``data_cache`` beside the package."""
    configured = os.environ.get("LSI_CACHE")
    if configured:
        return Path(configured).expanduser()
    checkout = Path(__file__).resolve().parents[2] / "data_cache"
    return checkout if checkout.is_dir() else Path.cwd() / "data_cache"


class Run:
    """One run folder, for reading. Everything is read when asked for and then kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {self.status.state})"

    @cached_property
    def config(self) -> RunConfig:
        return read_config(self.path)

    @property
    def status(self) -> RunStatus:
        """Read afresh each time: another process writes it."""
        try:
            return RunStatus.model_validate_json((self.path / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return RunStatus()
        except ValidationError as error:
            raise InputError(f"{self.path / 'status.json'} is not a run status: {error}") from error

    @property
    def fault(self) -> str | None:
        """Why the run cannot be read, for people; ``None`` where nothing hinders it. The scores are not opened."""
        try:
            _ = self.config, self.status
            if self.complete:
                _ = self.fingerprint, self.classes, self.modality
        except (InputError, OSError) as error:
            return str(error)
        except (KeyError, TypeError) as error:
            return f"{self.path / 'provenance.json'} lacks {error}: restore it, or compute the run again"
        return None

    @property
    def complete(self) -> bool:
        return (self.path / "scores.parquet").is_file()

    @cached_property
    def provenance(self) -> dict[str, Any]:
        return read_object(self.path / "provenance.json")

    @property
    def weight_decay(self) -> float:
        """wd of the probe: what was asked for, or what ``auto`` came to."""
        engine = self.provenance.get("engine") or {}
        return float(engine.get("weight_decay", self.config.weight_decay))

    @property
    def fingerprint(self) -> str:
        """Identifies the scores: caches in front of a run are keyed by it."""
        return str(self.provenance["scores_fingerprint"])

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the columns of ``probabilities``."""
        return list(self.provenance["classes"])

    @property
    def modality(self) -> str:
        return str(self.provenance["modality"])

    def scores(self) -> pd.DataFrame:
        """One row a sample, in the dataset's order; see the module docstring for the columns."""
        if not self.complete:
            raise InputError(f"run {self.name!r} has no scores yet (state: {self.status.state})")
        return pd.read_parquet(self.path / "scores.parquet")

    def samples(self) -> pd.DataFrame:
        """The sample table, ``media`` references included."""
        return pd.read_parquet(self.path / "samples.parquet")

    def texts(self) -> pd.Series | None:
        """Texts, or captions, by sample id; None for a run whose samples have none.

        They are stored once, beside the sample table: 50 000 reviews are 65 MB that a reader of scores need not read.
        """
        if self.modality not in ("text", "pairs"):
            return None
        return pd.read_parquet(self.path / "samples.parquet", columns=["sample_id", "text"]).set_index("sample_id")[
            "text"
        ]

    def skipped(self) -> pd.DataFrame:
        return pd.read_parquet(self.path / "skipped.parquet")

    def probabilities(self) -> NDArray[np.float32]:
        """``(N, C)`` leave-one-out class probabilities, memory-mapped."""
        return np.load(self.path / "probabilities.npy", mmap_mode="r", allow_pickle=False)

    @property
    def decisions_path(self) -> Path:
        return self.path / "decisions.sqlite"


class RunStore:
    """All runs of one cache folder."""

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache or cache_folder()
        self.folder = self.cache / "runs"

    def names(self) -> list[str]:
        """Names of the stored runs, finished or not, newest first."""
        if not self.folder.is_dir():
            return []
        found = [path.parent for path in self.folder.glob("*/config.json")]
        return [
            path.name for path in sorted(found, key=lambda path: (path / "config.json").stat().st_mtime, reverse=True)
        ]

    def runs(self) -> list[Run]:
        """The runs that can be read, newest first; one damaged folder hides no other."""
        return [run for run in map(Run, map(self.folder.joinpath, self.names())) if run.fault is None]

    def unreadable(self) -> dict[str, str]:
        """Why each of the other runs cannot be read, by its name."""
        faults = {name: Run(self.folder / name).fault for name in self.names()}
        return {name: fault for name, fault in faults.items() if fault is not None}

    def path(self, name: str) -> Path:
        """The folder of a run called ``name``; raises ``InputError`` for a name that is not a plain file name."""
        if not NAME_PATTERN.fullmatch(name):
            raise InputError(
                f"{name!r} cannot name a run: use letters, digits, '.', '_' and '-', 80 at most, not starting with '.'"
            )
        return self.folder / name

    def open(self, name: str) -> Run:
        """The stored run called ``name``; raises ``InputError`` and lists what there is when it does not exist,
        or says why it cannot be read."""
        path = self.path(name)
        if not (path / "config.json").is_file():
            known = ", ".join(self.names()[:10]) or "none yet: `lsi compute digits` makes one"
            raise InputError(f"there is no run {name!r} in {self.folder}. Runs: {known}")
        run = Run(path)
        if run.fault is not None:
            raise InputError(run.fault)
        return run
