"""Every score there is. Whoever sorts, filters, draws, compares or evaluates scores asks here what there is to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.scores.column import Column, Score
from lsi_engine.scores.measures.entropy import ENTROPY
from lsi_engine.scores.measures.groups import GROUPS
from lsi_engine.scores.measures.label_doubt import LABEL_DOUBT
from lsi_engine.scores.measures.leverage import LEVERAGE
from lsi_engine.scores.measures.loo_loss import LOO_LOSS
from lsi_engine.scores.measures.lsi import LSI

#: By name, in the order in which they are offered.
SCORES: dict[str, Score] = {score.name: score for score in (LSI, LABEL_DOUBT, LEVERAGE, GROUPS, LOO_LOSS, ENTROPY)}


def optional() -> list[str]:
    """Names of the scores that are computed only when asked for."""
    return [name for name, score in SCORES.items() if score.optional]


def chosen(names: Iterable[str]) -> list[Score]:
    """The optional scores that people ask for by name; ``all`` for every one. Raises ``InputError`` for another."""
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in optional() and name != "all"]
    if unknown:
        raise InputError(f"there is no score {unknown[0]!r} to ask for; known: {', '.join(optional())}, all")
    return [SCORES[name] for name in optional() if name in wanted or "all" in wanted]


def columns() -> dict[str, Column]:
    """Every column of every score, by name."""
    return {column.name: column for score in SCORES.values() for column in score.columns}


def column(name: str) -> Column:
    """What is known of a column; of one that no score names, no more than that it is a number."""
    known = columns()
    if name in known:
        return known[name]
    said = name.replace("_", " ")
    return Column(name, said.capitalize(), said, "neutral", "highest", "", low=float("-inf"))


def ranking(frame: pd.DataFrame) -> list[Column]:
    """The columns of a run's scores that samples are sorted by, in the registry's order."""
    return [each for each in columns().values() if each.ranks and each.name in frame]


def comparing(frame: pd.DataFrame) -> list[Column]:
    """The columns of a run's scores that it is compared with others by, in the registry's order."""
    return [each for each in ranking(frame) if each.compares]


def filtering(frame: pd.DataFrame) -> list[Column]:
    """The columns of a run's scores that a view can be narrowed by, in the registry's order."""
    return [each for each in columns().values() if (each.filters or each.ranks) and each.name in frame]


def evaluated(frame: pd.DataFrame) -> list[Column]:
    """The columns of a run's scores whose detection of what is wrong is evaluated, in the registry's order."""
    known = columns()
    names: Sequence[str] = [name for score in SCORES.values() for name in score.evaluated]
    return [known[name] for name in names if name in frame]
