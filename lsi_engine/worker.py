"""Carries out what the dashboard asks for, in a process of its own: ``python -P -m lsi_engine.worker FILE``.

FILE is JSON, ``{"command": NAME, "arguments": {…}}``: for ``compute`` the run's configuration, for the others the names
that their functions take. What is printed is what the command line would print. ``python -m lsi_engine.worker
estimate`` reads a configuration from standard input and prints what it would take, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsi_engine.cli.compute.execution import carry_out, show_estimate
from lsi_engine.cli.console import or_a_sentence
from lsi_engine.cli.duplicates import find_duplicates
from lsi_engine.cli.map import MapKind, map_run
from lsi_engine.cli.rescore import rescore_run
from lsi_engine.cli.subsets import compare_subsets_of_run
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig

COMMANDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "compute": lambda given: carry_out(RunConfig.model_validate(given)),
    "rescore": lambda given: rescore_run(given["run"], to=given["name"]),
    "map": lambda given: map_run(given["run"], MapKind(given["kind"])),
    "duplicates": lambda given: find_duplicates(given["run"]),
    "subsets": lambda given: compare_subsets_of_run(given["run"]),
}


def work(file: Path) -> None:
    """Carry out what ``file`` asks for. Raises ``InputError`` for a command that does not exist."""
    asked = json.loads(file.read_text(encoding="utf-8"))
    if asked["command"] not in COMMANDS:
        raise InputError(f"{file} asks for {asked['command']!r}; known: {', '.join(COMMANDS)}")
    COMMANDS[asked["command"]](asked["arguments"])


def main() -> None:
    (asked,) = sys.argv[1:]
    if asked == "estimate":
        config = RunConfig.model_validate(json.load(sys.stdin))
        or_a_sentence(lambda: show_estimate(config, 1, as_json=True))
    else:
        or_a_sentence(lambda: work(Path(asked)))


if __name__ == "__main__":
    main()
