"""Laplace Sample Information: what each training sample is worth.

>>> from lsi_engine import score
>>> table = score(features, labels)          # doctest: +SKIP
>>> table.to_frame().sort_values("lsi")      # doctest: +SKIP
"""

from lsi_engine.errors import Cancelled, InputError, LsiError, LsiWarning, NotConverged
from lsi_engine.information.score import score
from lsi_engine.information.table import SCORE_COLUMNS, ScoreTable

__all__ = [
    "SCORE_COLUMNS",
    "Cancelled",
    "InputError",
    "LsiError",
    "LsiWarning",
    "NotConverged",
    "ScoreTable",
    "score",
]
