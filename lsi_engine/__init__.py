"""Laplace Sample Information: what each training sample is worth.

>>> from lsi_engine import score
>>> table = score(features, labels)          # doctest: +SKIP
>>> table.to_frame().sort_values("lsi")      # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lsi_engine.errors import Cancelled, InputError, LsiError, LsiWarning, NotConverged

if TYPE_CHECKING:
    from lsi_engine.information.duplicates import near_duplicate_groups
    from lsi_engine.information.groups import GroupTable, score_groups
    from lsi_engine.information.score import score
    from lsi_engine.information.table import SCORE_COLUMNS, ScoreTable

__all__ = [
    "SCORE_COLUMNS",
    "Cancelled",
    "GroupTable",
    "InputError",
    "LsiError",
    "LsiWarning",
    "NotConverged",
    "ScoreTable",
    "near_duplicate_groups",
    "score",
    "score_groups",
]

# torch takes seconds to import, and whoever only reads runs (the dashboard, `lsi show`) does not need it.
_LAZY = {
    "GroupTable": "lsi_engine.information.groups",
    "near_duplicate_groups": "lsi_engine.information.duplicates",
    "score_groups": "lsi_engine.information.groups",
    "score": "lsi_engine.information.score",
    "ScoreTable": "lsi_engine.information.table",
    "SCORE_COLUMNS": "lsi_engine.information.table",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
