"""A running process tells the world where it stands: ``status.json``, replaced atomically, and the cancel flag."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType

from lsi_engine.errors import Cancelled
from lsi_engine.files import write_json
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.store import HEARTBEAT_SECONDS, RunStatus

#: Seconds between two writes of the status within a stage.
WRITE_INTERVAL = 0.5


class StatusReporter:
    """A :class:`lsi_engine.progress.Progress` that keeps ``status.json`` up to date while its ``with`` block runs.

    Calling it raises :class:`Cancelled` once ``<run>/cancel`` exists. Leaving the block writes the last state:
    ``done``, ``cancelled`` (Cancelled, Ctrl-C) or ``failed`` with the error's own text. A background thread renews the
    heartbeat through steps too long to report from within, such as one big factorisation.
    """

    def __init__(self, folder: Path, also: Progress = silent) -> None:
        self.folder = folder
        self.also = also
        self.status = RunStatus(state="running", pid=os.getpid(), started=time.time())
        self._stage_started = 0.0
        self._stage_offset = 0
        self._written = 0.0
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.time()
        if stage != self.status.stage:
            self.status.stage, self._stage_started, self._stage_offset = stage, now, done
            self._written = 0.0
        elapsed, moved = now - self._stage_started, done - self._stage_offset
        self.status.done, self.status.total = done, total
        self.status.rate = moved / elapsed if elapsed > 0.2 and moved > 0 else None
        self.status.eta_seconds = (total - done) / self.status.rate if self.status.rate else None
        if now - self._written >= WRITE_INTERVAL or done >= total:
            self._write()
        self.also(stage, done, total)
        if (self.folder / "cancel").exists():
            raise Cancelled("cancelled on request; what was finished is kept, and the same command resumes")

    def _write(self) -> None:
        with self._lock:
            self._written = self.status.heartbeat = time.time()
            write_json(self.folder / "status.json", self.status)

    def _beat(self) -> None:
        while not self._finished.wait(HEARTBEAT_SECONDS):
            self._write()

    def __enter__(self) -> StatusReporter:
        (self.folder / "cancel").unlink(missing_ok=True)
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        self._thread.join()
        if kind is None:
            self.status.state, self.status.message = "done", ""
        elif issubclass(kind, Cancelled | KeyboardInterrupt):
            self.status.state, self.status.message = "cancelled", str(error) or "interrupted"
        else:
            self.status.state, self.status.message = "failed", str(error) or kind.__name__
        self.status.eta_seconds = None
        self.status.finished = time.time()
        self._write()
        (self.folder / "cancel").unlink(missing_ok=True)
