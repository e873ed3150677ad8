"""Runs as separate processes: started here, then on their own; they outlive the page, the tab and the server.

A job is ``python -m lsi_engine compute …`` (or ``rescore …``). It writes ``status.json`` into its run folder and stops
when a file ``cancel`` appears there; this module adds ``job.json`` (the command, so that it can be started again) and
``log.txt`` (everything that the process printed).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

import lsi_engine
from lsi_engine.errors import InputError
from lsi_engine.runs.duplicates import duplicates_folder
from lsi_engine.runs.projection import map_folder
from lsi_engine.runs.store import Run, RunState, RunStatus, RunStore, write_json

#: A process that has said nothing yet is given this long (seconds) to import its libraries and write a status.
STARTING_SECONDS = 60.0


@dataclass(frozen=True)
class Job:
    """One run as the Runs page shows it."""

    name: str
    path: Path
    status: RunStatus
    #: What the command was given, when the run was started from the dashboard.
    arguments: list[str] | None
    command: str = "compute"

    @property
    def active(self) -> bool:
        """Running, or about to."""
        return self.status.state in ("queued", "running") and not self.status.stalled

    @property
    def cancelling(self) -> bool:
        return self.active and (self.path / "cancel").exists()

    @property
    def state(self) -> RunState | str:
        """The run's state; ``stalled`` when its process has gone without saying so."""
        return "stalled" if self.status.stalled else self.status.state

    def log_tail(self, lines: int = 30) -> str:
        """The end of what the process printed; of a progress bar redrawn in place, its last state."""
        try:
            with (self.path / "log.txt").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 20_000))
                text = log.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(line.rsplit("\r", 1)[-1] for line in text.rstrip("\n").split("\n")[-lines:])


def start(arguments: list[str], store: RunStore | None = None, *, command: str = "compute") -> str:
    """Start ``lsi COMMAND`` with ``arguments``, which must include ``--name NAME``; returns the name.

    The process gets its own session, so nothing that happens to this one stops it. Raises ``InputError`` when the name
    is taken by a finished run or by one that is still going.
    """
    store = store or RunStore()
    name = arguments[arguments.index("--name") + 1]
    path = store.path(name)
    if (path / "scores.parquet").is_file():
        raise InputError(f"there is a finished run called {name!r}; choose another name")
    if path.is_dir() and job(path).active:
        raise InputError(f"run {name!r} is already going; choose another name or wait for it")
    path.mkdir(parents=True, exist_ok=True)
    _spawn(path, command, arguments, store)
    return name


def start_duplicates(run: Run, store: RunStore | None = None) -> None:
    """Start ``lsi duplicates`` on a finished run, reporting in its ``duplicates`` folder. Nothing if it is going."""
    folder = duplicates_folder(run)
    if not (folder.is_dir() and job(folder).active):
        folder.mkdir(exist_ok=True)
        _spawn(folder, "duplicates", ["--", run.name], store or RunStore())


def start_map(run: Run, store: RunStore | None = None) -> None:
    """Start ``lsi map`` on a finished run; ``job(run.path / "map")`` says where it stands. Nothing if it is going."""
    folder = map_folder(run)
    if not (folder.is_dir() and job(folder).active):
        folder.mkdir(exist_ok=True)
        _spawn(folder, "map", ["--kind", "umap", "--", run.name], store or RunStore())


def _spawn(path: Path, command: str, arguments: list[str], store: RunStore) -> None:
    """Run ``lsi COMMAND`` on its own; it reports in ``path``."""
    (path / "cancel").unlink(missing_ok=True)
    now = time.time()
    write_json(path / "status.json", RunStatus(state="queued", started=now, heartbeat=now))
    # The package may be a checkout that is not installed: the child must find the same one.
    package_root = str(Path(lsi_engine.__file__).resolve().parents[1])
    search_path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"LSI_CACHE": str(store.cache.resolve()), "PYTHONPATH": search_path}
    with (path / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lsi_engine", command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    write_json(path / "job.json", {"command": command, "arguments": arguments, "pid": process.pid, "started": now})
    # Collects the exit status, so that a finished child does not linger as a zombie that looks alive.
    threading.Thread(target=process.wait, daemon=True).start()


def cancel(name: str, store: RunStore | None = None) -> None:
    """Ask a run to stop; it does so at its next step and keeps what it finished.

    A process that has not reported yet would clear the request when it begins, so that one is ended at once.
    """
    path = (store or RunStore()).path(name)
    (path / "cancel").touch()
    record = _record(path)
    if record and Run(path).status.state == "queued" and _alive(record["pid"], record["started"]):
        os.kill(record["pid"], signal.SIGTERM)
        status = RunStatus(state="cancelled", message="cancelled before it began", finished=time.time())
        write_json(path / "status.json", status)
        (path / "cancel").unlink(missing_ok=True)


def resume(name: str, store: RunStore | None = None) -> None:
    """Start a stopped run again with the same arguments; finished stages are not repeated."""
    store = store or RunStore()
    stopped = job(store.path(name))
    if stopped.arguments is None:
        raise InputError(f"run {name!r} was started in a terminal: repeat that command to resume it")
    start(stopped.arguments, store, command=stopped.command)


def job(path: Path) -> Job:
    """The job in one run folder, its state checked against the process itself."""
    status, record = Run(path).status, _record(path)
    if status.state == "queued" and record is not None:
        # Nothing from the engine yet: it is starting, or it failed before it could say anything.
        gone = not _alive(record["pid"], record["started"])
        if gone or time.time() - record["started"] > 10 * STARTING_SECONDS:
            status = status.model_copy(update={"state": "failed", "message": _last_words(path)})
    if record is None:
        return Job(path.name, path, status, None)
    return Job(path.name, path, status, record["arguments"], record.get("command", "compute"))


def jobs(store: RunStore | None = None) -> list[Job]:
    """Every run folder, newest first: finished, running, failed, and those that never came to have a config."""
    folder = (store or RunStore()).folder
    marked = {path.parent for name in ("config.json", "job.json") for path in folder.glob(f"*/{name}")}
    found = [job(path) for path in marked]
    return sorted(found, key=lambda job: job.status.started or job.path.stat().st_mtime, reverse=True)


def _record(path: Path) -> dict | None:
    try:
        return json.loads((path / "job.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _alive(pid: int, started: float) -> bool:
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
