"""The losses that come with the engine, and how one is found by its name."""

from __future__ import annotations

from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.losses.gaussian import Gaussian
from lsi_engine.losses.objective import Objective
from lsi_engine.losses.sigmoid import Sigmoid
from lsi_engine.losses.softmax import Softmax

OBJECTIVES: dict[str, type[Softmax] | type[Sigmoid] | type[Gaussian]] = {
    objective.name: objective for objective in (Softmax, Sigmoid, Gaussian)
}


def resolve(objective: str | Objective, targets: Any) -> Objective:
    """An objective by name, made for these targets, or the caller's own. Raises ``InputError`` for unknown names."""
    if isinstance(objective, Objective):
        return objective
    if objective not in OBJECTIVES:
        raise InputError(f"objective {objective!r} is not one of: {', '.join(OBJECTIVES)}, or an Objective of your own")
    return OBJECTIVES[objective].for_targets(targets)
