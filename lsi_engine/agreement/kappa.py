"""How far readers agree: Cohen's κ with an interval, confusion, and what is left to adjudicate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: What a reader says who can give no label.
CANNOT_TELL = ""
#: Name of the given labels where they stand beside readers.
GIVEN = "given label"
RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """Two raters on the ``n`` samples that both labelled.

    ``observed`` is the share of equal labels, ``kappa`` Cohen's (1960), unweighted; ``low`` and ``high`` its 95 %
    percentile bootstrap interval over samples. ``kappa`` is NaN where chance alone would make them agree entirely.
    """

    n: int
    observed: float
    kappa: float
    low: float
    high: float


def agreement(first: Sequence[str], second: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """Agreement of two equally long lists of labels."""
    table = confusion(first, second).to_numpy(dtype=np.float64)
    n = int(table.sum())
    if n == 0:
        return Agreement(0, *(float("nan"),) * 4)
    # Drawing samples with replacement is drawing the table's counts from a multinomial.
    drawn = np.random.default_rng(seed).multinomial(n, table.ravel() / n, resamples).reshape(-1, *table.shape)
    kappas = _kappa(drawn)
    kappas = kappas[np.isfinite(kappas)]
    low, high = np.quantile(kappas, [0.025, 0.975]) if len(kappas) else (np.nan, np.nan)
    return Agreement(n, float(np.trace(table) / n), float(_kappa(table[None])[0]), float(low), float(high))


def _kappa(tables: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """``(R,)`` κ of ``(R, C, C)`` tables of counts."""
    total = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / total
    chance = (tables.sum(axis=2) * tables.sum(axis=1)).sum(axis=1) / total.astype(np.float64) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


def confusion(first: Sequence[str], second: Sequence[str]) -> pd.DataFrame:
    """Counts, rows the ``first`` rater's labels, columns the ``second``'s; both over all labels that occur, sorted."""
    labels = sorted({*first, *second})
    codes = [pd.Index(labels).get_indexer(pd.Index(list(side), dtype="object")) for side in (first, second)]
    table = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(table, tuple(codes), 1)
    return pd.DataFrame(table, index=labels, columns=labels)


def raters(answers: pd.DataFrame, given: pd.Series) -> pd.DataFrame:
    """One row a sample, one column a rater: ``READER`` or ``READER, again`` for a second round, then ``GIVEN``.

    ``answers`` as :meth:`Readings.answers`, ``given`` the labels by sample id. Missing where a rater gave no label.
    """
    named = answers["reader"].where(answers["round"] == 1, answers["reader"] + ", again")
    told = answers.assign(rater=named)[answers["label"] != CANNOT_TELL]
    wide = told.pivot(index="sample_id", columns="rater", values="label").sort_index(axis=1)
    wide[GIVEN] = given.astype("object").reindex(wide.index)
    wide.columns.name = None
    return wide


def pair(wide: pd.DataFrame, first: str, second: str) -> tuple[list[str], list[str]]:
    """The labels of two raters on the samples that both labelled."""
    both = wide[[first, second]].dropna()
    return both[first].tolist(), both[second].tolist()


def every_pair(wide: pd.DataFrame) -> pd.DataFrame:
    """Columns ``first, second, n, observed, kappa, low, high``: each rater with each other, given labels last."""
    rows = []
    for first, second in combinations(wide.columns, 2):
        found = agreement(*pair(wide, first, second))
        rows.append((first, second, found.n, found.observed, found.kappa, found.low, found.high))
    return pd.DataFrame(rows, columns=["first", "second", "n", "observed", "kappa", "low", "high"])


def to_adjudicate(wide: pd.DataFrame) -> pd.DataFrame:
    """The samples on which raters differ, the most disputed first.

    Index ``sample_id``; the raters' labels, and ``votes``: how many readings stand against the most frequent label.
    """
    told = wide.drop(columns=GIVEN)
    against = [len(row) - row.value_counts().max() for _, row in ((i, r.dropna()) for i, r in wide.iterrows())]
    table = wide.assign(votes=against)
    differ = table[wide.nunique(axis=1) > 1]
    between = told.nunique(axis=1).reindex(differ.index)
    order = np.lexsort((differ.index.to_numpy(dtype=str), -differ["votes"].to_numpy(), -between.to_numpy()))
    return differ.iloc[order]
