"""What a score is: columns that say something about each sample, in numbers and in words.

A score is one file in :mod:`lsi_engine.scores.measures` that ends with its :class:`Score`, and the registry collects
them. Tables, the command line, sort orders, filters, axes, comparison and evaluation read it from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: What a high value says of a sample.
Direction = Literal["informative", "suspicious", "unusual", "safe", "neutral"]
#: What a score is computed from.
Need = Literal["features and labels", "the closed form's by-products", "a training record", "groups"]


class ByProducts(Protocol):
    """What leaving samples out leaves behind, as far as scores need it: see ``ScoreTable``, which has it."""

    @property
    def probabilities(self) -> NDArray[np.float64]: ...
    @property
    def codes(self) -> NDArray[np.int64]: ...
    @property
    def leverage(self) -> NDArray[np.float64]: ...
    @property
    def loo_probability(self) -> NDArray[np.float64]: ...
    @property
    def suspicion(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Column:
    """One column of scores.

    Attributes
    ----------
    name, title, word
        In tables; on axes and buttons; within a sentence.
    high
        What a high value says.
    first
        What the samples with the highest values are called, for a sort order.
    help
        One sentence for people.
    unit
        ``"nats"``, or ``""`` for a number without one.
    low, top
        What values lie between; infinite where there is no bound.
    log
        Whether an axis of it is logarithmic.
    ranks
        Whether samples are sorted by it. Another column may say the same the other way round.
    compares
        Whether runs are compared by it, where it ranks.
    filters
        Whether a view can be narrowed to a range of it.
    """

    name: str
    title: str
    word: str
    high: Direction
    first: str
    help: str
    unit: str = ""
    low: float = 0.0
    top: float = math.inf
    log: bool = False
    ranks: bool = True
    compares: bool = True
    filters: bool = False

    @property
    def detects(self) -> bool:
        """Whether it is meant to find what is wrong with a sample: evaluation ranks by it."""
        return self.high in ("informative", "suspicious", "safe")


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes
    ----------
    name, summary
        What it is asked for by, and one sentence.
    columns
        Numbers, in the order of the table. A score may bring columns of labels beside them.
    needs, cost
        What it is computed from, and how its cost grows, in N samples, D features and C classes.
    compute
        From a table of scores to the columns, ``(N,)`` each; ``None`` where the scoring itself makes them.
    evaluated
        Which of its columns detection is evaluated for.
    """

    name: str
    summary: str
    columns: tuple[Column, ...]
    needs: Need
    cost: str
    compute: Callable[[ByProducts], Mapping[str, ArrayLike]] | None = None
    evaluated: tuple[str, ...] = ()

    @property
    def optional(self) -> bool:
        """Computed only when asked for."""
        return self.compute is not None
