"""How the command line talks: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lsi_engine.errors import Cancelled, LsiError

out = Console(highlight=False, soft_wrap=True)
notes = Console(stderr=True, highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of text for a person.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a stored run; `lsi runs` lists them.")]

#: What the stages are called in front of people.
STAGES = {
    "samples": "Reading the samples",
    "scan": "Reading the samples",
    "words": "Counting words",
    "features": "Extracting features",
    "fit": "Fitting the probe",
    "hessian": "Measuring curvature",
    "scores": "Leaving each sample out",
    "refinement": "Refining the highest scores",
    "duplicates": "Looking for near-duplicates",
    "subsets": "Training on subsets",
}
#: Work shorter than this shows no bar (seconds).
QUIET_SECONDS = 2.0
#: Between two lines where standard error is a file (seconds).
LOG_SECONDS = 10.0


def or_a_sentence(action: Callable[[], object]) -> None:
    """Carry ``action`` out; a problem the user can mend is one line on standard error and exit code 1."""
    try:
        action()
    except Cancelled as error:
        notes.print(f"cancelled: {error}", markup=False)
        sys.exit(130)
    except LsiError as error:
        notes.print(f"error: {error}", markup=False)
        sys.exit(1)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            notes.print(f"error: {where} is {problem['input']!r}: {problem['msg']}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        notes.print("interrupted; what was finished is kept, and the same command resumes")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def print_json(value: Any) -> None:
    """Indented JSON; NaN is refused, so that any reader can parse it."""
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def warn(caveat: str | None) -> None:
    """A warning on standard error, where there is one."""
    if caveat:
        notes.print(f"warning: {caveat}", markup=False)


def said_seconds(value: float) -> str:
    """A duration as a person says it: ``3.3 s``, ``2 min 5 s``, ``1 h 20 min``, ``12 days``."""
    whole = round(value)
    if value < 10:
        return f"{value:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400:,} days"


class Bars:
    """A :class:`lsi_engine.progress.Progress`: bars with ETA on a terminal, an occasional line in a log file."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=notes,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started = self._logged = time.monotonic()

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not notes.is_terminal:
            if now - self._logged >= LOG_SECONDS:
                self._logged = now
                notes.print(f"{STAGES.get(stage, stage)}: {done:,} of {total:,}")
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(STAGES.get(stage, stage), total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)
        if now - self._started > QUIET_SECONDS:
            self._bars.start()
