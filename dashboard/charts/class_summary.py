"""Classes ranked by the median of their scores, with intervals; and the ranking said in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv

from dashboard import words

LEVEL = 0.95
QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def median_interval(ordered: NDArray[np.floating], level: float = LEVEL) -> tuple[float, float]:
    """Bootstrap percentile interval of the median of ``ordered (n,)``, ascending; exact, without resampling.

    A resample's median is at most the k-th smallest value exactly when at least half of its n draws are, so
    the median's bootstrap distribution is a binomial tail in k (Efron, 1979), and its quantiles are
    quantiles of a beta distribution: the limit of infinitely many resamples. For even n the two middle draws
    bound the median.
    """
    n = len(ordered)
    tail = (1 - level) / 2
    lower, upper = (n + 1) // 2, n // 2 + 1
    first = int(np.ceil(n * betaincinv(lower, n - lower + 1, tail) - 1e-9))
    last = int(np.ceil(n * betaincinv(upper, n - upper + 1, 1 - tail) - 1e-9))
    return float(ordered[max(first, 1) - 1]), float(ordered[min(max(last, 1), n) - 1])


def class_summary(
    scores: NDArray[np.floating],
    codes: NDArray[np.integer],
    classes: Sequence[str],
    *,
    doubtful: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """One row a class that has samples, lowest median first.

    Columns: ``label``, ``n``, ``p5, p25, median, p75, p95`` of the scores, ``low, high`` (95 % bootstrap
    interval of the median) and, with ``doubtful (N,)``, ``suspected`` (how many of the class are marked).
    """
    order = np.lexsort((scores, codes))
    bounds = np.searchsorted(codes[order], np.arange(len(classes) + 1))
    rows = []
    for position, name in enumerate(classes):
        members = order[bounds[position] : bounds[position + 1]]
        if not len(members):
            continue
        ordered = np.asarray(scores[members], dtype=np.float64)
        quantiles = np.quantile(ordered, list(QUANTILES.values()))
        low, high = median_interval(ordered)
        row = {"label": name, "n": len(members), **dict(zip(QUANTILES, quantiles, strict=True))}
        row |= {"low": low, "high": high}
        if doubtful is not None:
            row["suspected"] = int(doubtful[members].sum())
        rows.append(row)
    columns = ["label", "n", *QUANTILES, "low", "high", *(["suspected"] if doubtful is not None else [])]
    return pd.DataFrame(rows, columns=columns).sort_values("median", kind="stable", ignore_index=True)


def ranking_sentence(summary: pd.DataFrame) -> str:
    """The two most informative classes compared, in plain words; empty when there are not two classes."""
    if len(summary) < 2:
        return ""
    second, first = summary.iloc[-2], summary.iloc[-1]
    if first["low"] <= second["high"]:
        return (
            f"{first['label']} and {second['label']} carry the most information; their medians cannot be "
            "told apart with this many samples."
        )
    if second["median"] <= 0:
        return f"{first['label']} carries the most information; half of {second['label']} carries none."
    ratio = first["median"] / second["median"]
    times = f"about {words.number(ratio, 2)}×" if ratio < 100 else "more than 100×"
    return f"{first['label']} carries {times} the information of {second['label']} (medians), the next class."


def reading(summary: pd.DataFrame, many: str) -> str:
    """What the ranking means, in plain words: the highest class against the lowest, and what else may raise a class."""
    if len(summary) < 2:
        return ""
    lowest, highest = summary.iloc[0], summary.iloc[-1]
    if highest["low"] <= lowest["high"]:
        return f"With this many {many} no class can be told from another: all intervals of the medians overlap."
    if lowest["median"] <= 0:
        return f"Half of the {many} labelled {lowest['label']} say nothing that the others do not already say."
    ratio = highest["median"] / lowest["median"]
    times = f"about {words.number(ratio, 2)}×" if ratio < 100 else "more than 100×"
    said = (
        f"One of the {many} labelled {highest['label']} typically carries {times} the information of one labelled "
        f"{lowest['label']}: the model finds {highest['label']} harder to learn from the other {many}. Such "
        f"{many} can be more varied, rarer, or less reliably labelled."
    )
    doubted = summary.assign(share=summary.get("suspected", 0) / summary["n"]).sort_values("share").iloc[-1]
    if doubted["share"] >= 0.05:
        said += f" Most doubted is the label {doubted['label']}: {doubted['share']:.0%} of its samples."
    return said
