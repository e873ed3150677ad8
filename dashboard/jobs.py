"""Runs as separate processes: started here, then on their own; they outlive the page, the tab and the server.

A job is a :mod:`lsi_engine.worker`, which is told what to do by a file, ``request.json``: for a run, its configuration.
It writes ``status.json`` into its run folder and stops when a file ``cancel`` appears there; this module adds
``job.json`` (what was asked for and the process, so that it can be started again) and ``log.txt`` (everything that the
process printed).

Runs wait for each other: one at a time (:func:`at_once`), in the order in which they were asked for. The queue is
nothing but the run folders whose ``job.json`` names no process yet, so it survives everything. Who starts the next one
is a small process of its own (``python -m dashboard.jobs``), alive while anything waits; the Runs page starts it again
should it have been killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lsi_engine
from dashboard.job_state import Job, alive, job, jobs, record_of
from lsi_engine.errors import InputError
from lsi_engine.files import write_json
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import Run, RunStatus, RunStore

__all__ = [
    "Job",
    "cancel",
    "estimate",
    "job",
    "jobs",
    "keep_queue",
    "resume",
    "start",
    "start_duplicates",
    "start_map",
    "start_rescore",
    "start_subsets",
]

#: Seconds between two looks at the queue.
LOOK_SECONDS = 0.5
#: Counting and measuring take a few seconds, most of it to start; more means that something hangs.
ESTIMATE_SECONDS = 60.0


def start(config: RunConfig, store: RunStore | None = None) -> str:
    """Compute the run that ``config`` describes when its turn comes; returns its name.

    The process gets its own session, so nothing that happens to this one stops it. Raises ``InputError`` when the name
    is taken by a finished run or by one that is still going or waiting.
    """
    return _start(config.name, "compute", config.model_dump(mode="json"), store or RunStore())


def start_rescore(run: str, name: str, store: RunStore | None = None) -> str:
    """Score ``run`` again as ``name``, decisions applied. It takes seconds, and somebody waits: it starts at once."""
    return _start(name, "rescore", {"run": run, "name": name}, store or RunStore())


def _start(name: str, command: str, arguments: dict[str, Any], store: RunStore) -> str:
    path = store.path(name)
    with _queue(store):
        if (path / "scores.parquet").is_file():
            raise InputError(f"there is a finished run called {name!r}; choose another name")
        if path.is_dir() and job(path).active:
            raise InputError(f"run {name!r} is already going or waiting; choose another name or wait for it")
        path.mkdir(parents=True, exist_ok=True)
        if command == "compute":
            now = time.time()
            write_json(path / "status.json", RunStatus(state="queued", started=now))
            write_json(path / "job.json", {"command": command, "arguments": arguments, "asked": now})
        else:
            _spawn(path, command, arguments, store)
    advance(store)
    keep_queue(store)
    return name


def at_once() -> int:
    """Runs that compute at the same time: ``LSI_RUNS_AT_ONCE``, one where nothing is said."""
    said = os.environ.get("LSI_RUNS_AT_ONCE", "1")
    if not (said.isdecimal() and int(said) > 0):
        raise InputError(f"LSI_RUNS_AT_ONCE is {said!r}; it must be a whole number, 1 or greater")
    return int(said)


def estimate(config: RunConfig, store: RunStore | None = None) -> dict[str, Any]:
    """What ``config`` would take, as ``lsi compute --estimate --json`` prints it; nothing is started.

    In a process of its own: measuring needs torch, which the server does without. Raises ``InputError`` with that
    process's last words when it cannot be said.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lsi_engine.worker", "estimate"],
        input=config.model_dump_json(),
        capture_output=True,
        text=True,
        env=_environment(store or RunStore()),
        timeout=ESTIMATE_SECONDS,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise InputError(said[-1].removeprefix("error: ") if said else "what it will take cannot be said")
    return json.loads(done.stdout)


def waiting(store: RunStore) -> list[Job]:
    """The runs whose turn has not come, the next one first."""
    return sorted((each for each in jobs(store) if each.waiting), key=lambda each: each.status.started or 0.0)


def advance(store: RunStore) -> None:
    """Start the runs whose turn has come."""
    with _queue(store):
        every = jobs(store)
        going = sum(each.active and not each.waiting and each.command == "compute" for each in every)
        for turn in waiting(store)[: max(0, at_once() - going)]:
            _spawn(turn.path, turn.command, turn.arguments or {}, store)


def keep_queue(store: RunStore | None = None) -> None:
    """See to it that somebody starts what waits, whatever becomes of this process."""
    store = store or RunStore()
    if waiting(store):
        with _held(store.folder / ".keeper") as free:
            pass
        if free:
            _process(["-P", "-m", "dashboard.jobs"], store, subprocess.DEVNULL)


def _keep() -> None:
    """Start runs as their turn comes until none waits; only one process does so at a time."""
    store = RunStore()
    # Looked at again after letting go: a run that came in meanwhile found the place taken and relies on us.
    while waiting(store):
        with _held(store.folder / ".keeper") as free:
            while free and waiting(store):
                advance(store)
                time.sleep(LOOK_SECONDS)
        if not free:
            return


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether the lock ``path`` was free; it is held within, and the system releases it however a process ends."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _queue(store: RunStore) -> Iterator[None]:
    """Nobody else starts or cancels a run within."""
    store.folder.mkdir(parents=True, exist_ok=True)
    with (store.folder / ".queue").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start_map(run: Run, store: RunStore | None = None, *, kind: str = "umap") -> None:
    """Lay a finished run out in the plane; ``job(run.path / "map")`` says where it stands. Nothing if it is going."""
    from lsi_engine.runs.artefacts.projection import map_folder

    _start_beside(map_folder(run), "map", {"run": run.name, "kind": kind}, store)


def start_duplicates(run: Run, store: RunStore | None = None) -> None:
    """Look for near-duplicates in a finished run, reporting in its ``duplicates`` folder. Nothing if it is going."""
    from lsi_engine.runs.artefacts.duplicates import duplicates_folder

    _start_beside(duplicates_folder(run), "duplicates", {"run": run.name}, store)


def start_subsets(run: Run, store: RunStore | None = None) -> None:
    """Compare subsets of a finished run, reporting in its ``subsets`` folder. Nothing if it is going."""
    from lsi_engine.runs.artefacts.subsets import subsets_folder

    _start_beside(subsets_folder(run), "subsets", {"run": run.name}, store)


def _start_beside(folder: Path, command: str, arguments: dict[str, Any], store: RunStore | None) -> None:
    """Start what reports in a ``folder`` of a run, unless it is going; a folder alone says that it never began."""
    if not ((folder / "status.json").is_file() and job(folder).active):
        folder.mkdir(exist_ok=True)
        _spawn(folder, command, arguments, store or RunStore())


def _spawn(path: Path, command: str, arguments: dict[str, Any], store: RunStore) -> None:
    """Carry out ``command`` in a process of its own; it reports in ``path``."""
    (path / "cancel").unlink(missing_ok=True)
    now = time.time()
    write_json(path / "status.json", RunStatus(state="queued", started=now, heartbeat=now))
    with (path / "log.txt").open("ab") as log:
        write_json(path / "request.json", {"command": command, "arguments": arguments})
        process = _process(["-P", "-m", "lsi_engine.worker", str(path / "request.json")], store, log.fileno())
    write_json(path / "job.json", {"command": command, "arguments": arguments, "pid": process.pid, "started": now})


def _process(arguments: list[str], store: RunStore, output: int) -> subprocess.Popen[bytes]:
    """Python with ``arguments``, in a session of its own."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=_environment(store),
        start_new_session=True,
    )
    # Collects the exit status, so that a finished child does not linger as a zombie that looks alive.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def _environment(store: RunStore) -> dict[str, str]:
    # The package may be a checkout that is not installed: the child must find the same one.
    package_root = str(Path(lsi_engine.__file__).resolve().parents[1])
    search_path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    return os.environ | {"LSI_CACHE": str(store.cache.resolve()), "PYTHONPATH": search_path}


def cancel(name: str, store: RunStore | None = None) -> None:
    """Ask a run to stop; it does so at its next step and keeps what it finished. One that waits leaves the queue.

    A process that has not reported yet would clear the request when it begins, so that one is ended at once.
    """
    store = store or RunStore()
    path = store.path(name)
    with _queue(store):
        (path / "cancel").touch()
        record = record_of(path)
        before = Run(path).status
        if record is None or before.state != "queued":
            return
        if "pid" in record:
            if not alive(record["pid"], record["started"]):
                return
            os.kill(record["pid"], signal.SIGTERM)
        ended = {"state": "cancelled", "message": "cancelled before it began", "finished": time.time()}
        write_json(path / "status.json", before.model_copy(update=ended))
        (path / "cancel").unlink(missing_ok=True)


def resume(name: str, store: RunStore | None = None) -> None:
    """Start a stopped run again as it was asked for; finished stages are not repeated."""
    store = store or RunStore()
    stopped = job(store.path(name))
    if stopped.arguments is None:
        raise InputError(f"run {name!r} was started in a terminal: repeat that command to resume it")
    _start(name, stopped.command, stopped.arguments, store)


if __name__ == "__main__":
    _keep()
