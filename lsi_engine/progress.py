"""How long work reports itself and how it is told to stop."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called from inside every loop that can last longer than a second.

    ``stage`` is a short name ("features", "fit", "scores"); ``done`` and ``total`` count the stage's own
    units. An implementation raises :class:`lsi_engine.errors.Cancelled` to stop the work at this point.
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """The default: reports nothing and never cancels."""
