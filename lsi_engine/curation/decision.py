"""One decision about one sample, and what happens when somebody else was faster."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lsi_engine.errors import InputError, LsiError

Action = Literal["keep", "relabel", "drop", "unsure"]
ACTIONS: tuple[Action, ...] = get_args(Action)


class Conflict(LsiError):
    """Someone else decided this sample after the reader last saw it. Nothing was written."""

    def __init__(self, sample_id: str, expected_revision: int, current: dict[str, Any] | None, revision: int):
        self.sample_id = sample_id
        self.expected_revision = expected_revision
        self.current = current
        self.revision = revision
        if current is None:
            what = "no decision of this sample stands at that revision"
        else:
            label = f" to {current['new_label']!r}" if current["new_label"] else ""
            withdrew = "withdrew a decision" if current["action"] == "undo" else f"chose {current['action']}{label}"
            what = f"{current['reviewer']} {withdrew} at {current['at']}"
        super().__init__(
            f"sample {sample_id} was decided meanwhile: {what}. Look at it again, then decide (revision {revision})."
        )


@dataclass(frozen=True)
class Decision:
    """What one person says about one sample.

    ``expected_revision`` is the sample's revision (number of events about it) that the person saw, 0 for a
    sample nobody has touched. ``token`` identifies the act: sending the same decision again changes nothing.
    """

    sample_id: str
    action: Action
    reviewer: str
    expected_revision: int
    given_label: str
    new_label: str | None = None
    note: str = ""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise InputError(f"{self.action!r} is no decision; choose one of {', '.join(ACTIONS)}")
        if not self.sample_id or not self.token:
            raise InputError("a decision needs a sample id and a token")
        if not self.reviewer.strip():
            raise InputError("a decision needs the reviewer's name")
        if (self.action == "relabel") != bool(self.new_label):
            raise InputError(f"sample {self.sample_id}: 'relabel' takes a new label, the other decisions take none")
        if self.action == "relabel" and self.new_label == self.given_label:
            raise InputError(f"sample {self.sample_id} is already labelled {self.new_label!r}: use 'keep'")
