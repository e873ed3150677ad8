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
    from lsi_engine.information.full_network import NetworkScores, retrain_network
    from lsi_engine.information.group_table import GroupTable
    from lsi_engine.information.groups import score_groups
    from lsi_engine.information.model import last_layer, score_model
    from lsi_engine.information.objective import ObjectiveScores, score_objective
    from lsi_engine.information.pair_scores import PairScores
    from lsi_engine.information.pairs import score_pairs
    from lsi_engine.information.score import score
    from lsi_engine.information.table import SCORE_COLUMNS, ScoreTable
    from lsi_engine.laplace.network import network_ggn
    from lsi_engine.probes.losses import Gaussian, Sigmoid, Softmax
    from lsi_engine.probes.objective import Objective

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
    "GroupTable": "lsi_engine.information.group_table",
    "near_duplicate_groups": "lsi_engine.information.duplicates",
    "score_groups": "lsi_engine.information.groups",
    "score": "lsi_engine.information.score",
    "ScoreTable": "lsi_engine.information.table",
    "SCORE_COLUMNS": "lsi_engine.information.table",
    "Objective": "lsi_engine.probes.objective",
    "Softmax": "lsi_engine.probes.losses",
    "Sigmoid": "lsi_engine.probes.losses",
    "Gaussian": "lsi_engine.probes.losses",
    "ObjectiveScores": "lsi_engine.information.objective",
    "score_objective": "lsi_engine.information.objective",
    "score_model": "lsi_engine.information.model",
    "last_layer": "lsi_engine.information.model",
    "PairScores": "lsi_engine.information.pair_scores",
    "score_pairs": "lsi_engine.information.pairs",
    "NetworkScores": "lsi_engine.information.full_network",
    "retrain_network": "lsi_engine.information.full_network",
    "network_ggn": "lsi_engine.laplace.network",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
