"""Where each run stands: read from its folder, checked against its process."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lsi_engine.errors import InputError
from lsi_engine.runs.config import read_config
from lsi_engine.runs.store import Run, RunState, RunStatus, RunStore

#: A process that has said nothing yet is given this long (seconds) to import its libraries and write a status.
STARTING_SECONDS = 60.0


@dataclass(frozen=True)
class Job:
    """One run as the Runs page shows it."""

    name: str
    path: Path
    status: RunStatus
    #: What was asked for, when the run was started from the dashboard: of a run that is computed, its configuration.
    arguments: dict[str, Any] | None
    command: str = "compute"
    #: Its turn has not come yet: it has no process, and nothing is lost with one.
    waiting: bool = False

    @property
    def active(self) -> bool:
        """Running, about to, or waiting for its turn."""
        return self.status.state in ("queued", "running") and not self.status.stalled

    @property
    def cancelling(self) -> bool:
        return self.active and (self.path / "cancel").exists()

    @property
    def state(self) -> RunState | str:
        """The run's state; ``waiting`` in the queue; ``stalled`` when its process has gone without saying so."""
        if self.waiting:
            return "waiting"
        return "stalled" if self.status.stalled else self.status.state

    @property
    def moment(self) -> float:
        """When the last thing happened to it, in seconds since the epoch: its end, or else its start."""
        return self.status.finished or self.status.started or self.path.stat().st_mtime

    def log_tail(self, lines: int = 30) -> str:
        """The end of what the process printed; of a progress bar redrawn in place, its last state."""
        try:
            with (self.path / "log.txt").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 20_000))
                text = log.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(line.rsplit("\r", 1)[-1] for line in text.rstrip("\n").split("\n")[-lines:])


def job(path: Path) -> Job:
    """The job in one run folder, its state checked against the process itself."""
    run, record = Run(path), record_of(path)
    fault = run.fault if (path / "config.json").is_file() else None
    if fault is not None:
        return Job(path.name, path, RunStatus(state="failed", message=fault), None)
    status = run.status
    waiting = status.state == "queued" and record is not None and "pid" not in record
    if status.state == "queued" and record is not None and not waiting:
        # Nothing from the engine yet: it is starting, or it failed before it could say anything.
        gone = not alive(record["pid"], record["started"])
        if gone or time.time() - record["started"] > 10 * STARTING_SECONDS:
            status = status.model_copy(update={"state": "failed", "message": _last_words(path)})
    if record is None:
        return Job(path.name, path, status, None)
    return Job(path.name, path, status, _arguments(path, record), record.get("command", "compute"), waiting)


def jobs(store: RunStore | None = None) -> list[Job]:
    """Every run folder: finished, running, failed, and those that never came to have a config.

    What happened last comes first: a run counts from its end, one that has not ended from its start; where two are of
    the same moment, by name.
    """
    folder = (store or RunStore()).folder
    marked = {path.parent for name in ("config.json", "job.json") for path in folder.glob(f"*/{name}")}
    return sorted((job(path) for path in marked), key=lambda job: (-job.moment, job.name))


def _arguments(path: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """What was asked for. Earlier versions wrote down a command line; the configuration says the same, once written."""
    given = record["arguments"]
    if isinstance(given, dict):
        return given
    if record.get("command") == "rescore":
        return {"run": given[-1], "name": path.name}
    try:
        return read_config(path).model_dump(mode="json")
    except (InputError, OSError):
        return None


def record_of(path: Path) -> dict[str, Any] | None:
    """What the dashboard wrote down of a job; ``None`` where it wrote nothing, or nothing that can be read."""
    try:
        record = json.loads((path / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "arguments" in record else None


def alive(pid: int, started: float) -> bool:
    """Whether the process that was started then still exists; the number alone may have been given to another."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < STARTING_SECONDS
    except psutil.Error:
        return False


def _last_words(path: Path) -> str:
    """The error that the process printed last, as one line."""
    lines = [line for line in Job(path.name, path, RunStatus(), None).log_tail().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "the process ended before it wrote anything"
