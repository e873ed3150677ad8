"""How well a score finds what was corrupted on purpose: detection curve, AUROC, average precision, precision@k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.scores import registry

#: Coverage of the bootstrap intervals.
CONFIDENCE = 0.95
#: Of a detection curve, at most.
CURVE_POINTS = 1000


@dataclass(frozen=True)
class Evaluation:
    """Detection of the ``corrupted`` samples by each measure, from the highest score down.

    Intervals are percentile bootstrap intervals over samples, 95 %. Tied scores share their rank: no order among
    them is invented.
    """

    _table: pd.DataFrame
    _curves: dict[str, pd.DataFrame]
    corrupted: int
    samples: int

    @property
    def measures(self) -> list[str]:
        """The columns that were evaluated, in the registry's order."""
        return list(self._curves)

    def table(self) -> pd.DataFrame:
        """``measure, metric, value, low, high``; metrics ``AUROC``, ``average precision``, ``precision@k``."""
        return self._table.copy()

    def curve(self, measure: str) -> pd.DataFrame:
        """``reviewed`` samples (the highest-scored first) against ``found`` corrupted ones, at most 1 000 points.

        ``share`` is ``found`` of all corrupted ones, ``low`` and ``high`` its interval at each point by itself (of each
        resample, the share of its own corrupted samples).
        """
        return self._curves[measure].copy()


def evaluate(
    frame: pd.DataFrame, *, resamples: int = 1000, seed: int = 0, at: Sequence[int] | None = None
) -> Evaluation:
    """Evaluate every measure of a run's scores against its ``corrupted`` column.

    Parameters
    ----------
    frame
        ``Run.scores()``: ``corrupted`` (bool) and the measures.
    at
        k of precision@k; 50, 100, 500, … and the number of corrupted samples, up to N, when not given.

    Raises ``InputError`` when nothing, or everything, is corrupted.
    """
    if "corrupted" not in frame:
        raise InputError("this run has no known corruption to evaluate against: compute one with --flip-labels 0.1")
    truth = frame["corrupted"].to_numpy(dtype=bool)
    samples, corrupted = len(truth), int(truth.sum())
    if corrupted in (0, samples):
        raise InputError(f"{corrupted} of {samples} samples are corrupted: detection needs some of each")
    cuts = sorted({k for k in (*(at or (50, 100, 500, 1000, 5000)), corrupted) if 0 < k <= samples})
    at_points = np.unique(np.linspace(0, samples, CURVE_POINTS).round()).astype(np.int64)
    rows: list[dict[str, object]] = []
    curves: dict[str, pd.DataFrame] = {}
    measures = [column for column in registry.evaluated(frame) if frame[column.name].notna().all()]
    for column in measures:
        measure, values = column.name, frame[column.name].to_numpy(dtype=np.float64)
        ranking = _Ranking(-values if column.high == "safe" else values, truth)
        reached, found = ranking.metrics(np.ones(samples), cuts, at_points)
        # The same resamples for each measure, so that their intervals can be compared.
        random = np.random.default_rng(seed)
        drawn, shares = np.empty((resamples, len(reached))), np.empty((resamples, len(at_points)))
        for row in range(resamples):
            drawn[row], hits = ranking.metrics(_bootstrap_weights(random, samples), cuts, at_points)
            shares[row] = hits / max(hits[-1], 1.0)
        usable = np.isfinite(drawn).all(axis=1)  # a resample may hold no corrupted sample, or nothing else
        low, high = _bounds(drawn[usable])
        names = ["AUROC", "average precision", *(f"precision@{k}" for k in cuts)]
        rows += [
            {"measure": measure, "metric": name, "value": v, "low": lo, "high": hi}
            for name, v, lo, hi in zip(names, reached, low, high, strict=True)
        ]
        share_low, share_high = _bounds(shares[usable])
        curves[measure] = pd.DataFrame(
            {
                "reviewed": at_points,
                "found": found,
                "share": found / corrupted,
                "low": share_low,
                "high": share_high,
            }
        )
    return Evaluation(pd.DataFrame(rows), curves, corrupted, samples)


def _bootstrap_weights(random: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """How often each sample occurs in one resample of the same size."""
    return np.bincount(random.integers(0, samples, samples), minlength=samples).astype(np.float64)


def _bounds(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(2, n)``: the ends of the interval of each column of ``drawn (resamples, n)``; NaN where nothing was drawn."""
    if not len(drawn):
        return np.full((2, drawn.shape[1]), np.nan)
    return np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)


class _Ranking:
    """Samples sorted by falling score once, tied ones grouped; each resample then costs a few cumulative sums."""

    def __init__(self, scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.truth = truth[self.order].astype(np.float64)
        ranked = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def _counts(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ranked = weights[self.order]
        everything = np.add.reduceat(ranked, self.starts)
        return np.add.reduceat(ranked * self.truth, self.starts), everything

    def metrics(
        self, weights: NDArray[np.float64], cuts: Sequence[int], points: NDArray[np.int64]
    ) -> tuple[list[float], NDArray[np.float64]]:
        """AUROC, average precision and precision at each cut, and how many corrupted samples are found by ``points``.

        Within a group of ties the expected number found grows evenly with the number reviewed.
        """
        hits, counts = self._counts(weights)
        found, reviewed = np.cumsum(hits), np.cumsum(counts)
        at_points = np.interp(points, np.r_[0.0, reviewed], np.r_[0.0, found])
        positives, total = found[-1], reviewed[-1]
        if positives == 0 or positives == total:
            return [float("nan")] * (2 + len(cuts)), at_points
        misses = counts - hits
        auroc = float((misses * (found - hits / 2)).sum() / (positives * (total - positives)))
        with np.errstate(invalid="ignore"):
            precision = np.where(reviewed > 0, found / reviewed, 0.0)
        average_precision = float((hits / positives * precision).sum())
        at_cuts = np.interp(cuts, np.r_[0.0, reviewed], np.r_[0.0, found])
        precisions = [float(hit) / k for hit, k in zip(at_cuts, cuts, strict=True)]
        return [auroc, average_precision, *precisions], at_points
