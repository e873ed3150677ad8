"""Scores over several trainings that differ in their initial weights only, and how far they agree."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr, t


@dataclass(frozen=True)
class SeedScores:
    """Per seed and per scored epoch: k seeds, E epochs, n samples.

    Attributes
    ----------
    seeds, epochs
        What the first two axes below stand for; the last epoch is the training's end.
    mean_shift, covariance
        ``(k, E, n)`` float64 nats.
    """

    seeds: list[int]
    epochs: list[int]
    mean_shift: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def lsi(self) -> NDArray[np.float64]:
        """``(k, n)`` at the end of training."""
        return (self.mean_shift + self.covariance)[:, -1]

    @property
    def lsi_by_epoch(self) -> NDArray[np.float64]:
        """``(E, n)``, mean over seeds."""
        return (self.mean_shift + self.covariance).mean(axis=0)

    def interval(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(n,)`` bounds of the t interval of each sample's mean LSI over seeds; LSI is never below 0."""
        lsi = self.lsi
        half = t.ppf((1 + level) / 2, len(lsi) - 1) * lsi.std(axis=0, ddof=1) / np.sqrt(len(lsi))
        mean = lsi.mean(axis=0)
        return np.maximum(mean - half, 0.0), mean + half

    def facts(self) -> dict[str, Any]:
        """Reliability, JSON-able: Spearman of LSI between seeds, and of each scored epoch with the last."""
        facts: dict[str, Any] = {"seeds": self.seeds, "score_epochs": self.epochs}
        lsi, by_epoch = self.lsi, self.lsi_by_epoch
        if len(self.seeds) > 1 and lsi.shape[1] > 2:
            pairs = [_spearman(a, b) for a, b in combinations(lsi, 2)]
            facts["seed_spearman"] = {"mean": float(np.mean(pairs)), "lowest": float(min(pairs)), "pairs": pairs}
        if len(self.epochs) > 1 and lsi.shape[1] > 2:
            facts["epoch_spearman"] = [_spearman(row, by_epoch[-1]) for row in by_epoch]
        return facts


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(spearmanr(a, b).statistic)
