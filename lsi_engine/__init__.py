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
    from lsi_engine.curvature.network import network_ggn
    from lsi_engine.features.near_duplicates import near_duplicate_groups
    from lsi_engine.losses.gaussian import Gaussian
    from lsi_engine.losses.objective import Objective
    from lsi_engine.losses.sigmoid import Sigmoid
    from lsi_engine.losses.softmax import Softmax
    from lsi_engine.scores.lsi.group_table import GroupTable
    from lsi_engine.scores.lsi.groups import score_groups
    from lsi_engine.scores.lsi.last_layer import last_layer, score_model
    from lsi_engine.scores.lsi.network import NetworkScores, retrain_network
    from lsi_engine.scores.lsi.objective_scores import ObjectiveScores, score_objective
    from lsi_engine.scores.lsi.pair_scores import PairScores
    from lsi_engine.scores.lsi.pairs import score_pairs
    from lsi_engine.scores.score import score
    from lsi_engine.scores.table import SCORE_COLUMNS, ScoreTable

__all__ = [
    "SCORE_COLUMNS",
    "Cancelled",
    "Gaussian",
    "GroupTable",
    "InputError",
    "LsiError",
    "LsiWarning",
    "NetworkScores",
    "NotConverged",
    "Objective",
    "ObjectiveScores",
    "PairScores",
    "ScoreTable",
    "Sigmoid",
    "Softmax",
    "last_layer",
    "near_duplicate_groups",
    "network_ggn",
    "retrain_network",
    "score",
    "score_groups",
    "score_model",
    "score_objective",
    "score_pairs",
]

# torch takes seconds to import, and whoever only reads runs (the dashboard, `lsi show`) does not need it.
_LAZY = {
    "GroupTable": "lsi_engine.scores.lsi.group_table",
    "near_duplicate_groups": "lsi_engine.features.near_duplicates",
    "score_groups": "lsi_engine.scores.lsi.groups",
    "score": "lsi_engine.scores.score",
    "ScoreTable": "lsi_engine.scores.table",
    "SCORE_COLUMNS": "lsi_engine.scores.table",
    "Objective": "lsi_engine.losses.objective",
    "Softmax": "lsi_engine.losses.softmax",
    "Sigmoid": "lsi_engine.losses.sigmoid",
    "Gaussian": "lsi_engine.losses.gaussian",
    "ObjectiveScores": "lsi_engine.scores.lsi.objective_scores",
    "score_objective": "lsi_engine.scores.lsi.objective_scores",
    "score_model": "lsi_engine.scores.lsi.last_layer",
    "last_layer": "lsi_engine.scores.lsi.last_layer",
    "PairScores": "lsi_engine.scores.lsi.pair_scores",
    "score_pairs": "lsi_engine.scores.lsi.pairs",
    "NetworkScores": "lsi_engine.scores.lsi.network",
    "retrain_network": "lsi_engine.scores.lsi.network",
    "network_ggn": "lsi_engine.curvature.network",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
