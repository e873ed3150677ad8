"""The scores of image–text pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.scores.seeds import SeedScores


@dataclass(frozen=True)
class PairScores:
    """Scores of n pairs; ``index (n,)`` are their rows in the input.

    Attributes
    ----------
    lsi_mean_shift, lsi_covariance
        ``(n,)`` float64 nats, mean over seeds; they sum to ``lsi``.
    matches
        ``(n, N)`` float64: what a pair matches under heads trained without it, the mean of its image's choice among
        all texts and its text's choice among all images. Pairs of its own group, itself excepted, are no choice.
    heads
        Of the first seed, trained on all pairs: A ``(d, D_image + 1)``, B ``(d, D_text + 1)``, bias last.
    seed_scores, info
        LSI of each seed; settings, reliability, seconds.
    """

    lsi_mean_shift: NDArray[np.float64]
    lsi_covariance: NDArray[np.float64]
    matches: NDArray[np.float64]
    heads: list[NDArray[np.float64]]
    index: NDArray[np.int64]
    seed_scores: SeedScores
    info: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def lsi(self) -> NDArray[np.float64]:
        return self.lsi_mean_shift + self.lsi_covariance

    @property
    def loo_probability(self) -> NDArray[np.float64]:
        """``(n,)``: probability that image and text pick each other, by heads trained without the pair."""
        return np.take_along_axis(self.matches, self.index[:, None], axis=1)[:, 0]

    @property
    def suspicion(self) -> NDArray[np.float64]:
        """``(n,)`` in 0..1: 1 − ``loo_probability``, summed over the other pairs so that tiny doubts keep digits."""
        return np.minimum(self._others(0.0).sum(axis=1), 1.0)

    def to_frame(self) -> pd.DataFrame:
        """``lsi, lsi_mean_shift, lsi_covariance, loo_probability, suggested_pair, suspicion, margin``.

        ``suggested_pair`` is the row of the pair that would fit better, missing where none does; ``margin`` is
        ``loo_probability`` less the best of the others. Several seeds add ``lsi_low`` and ``lsi_high``.
        """
        others = self._others(-1.0)
        best, margin = others.argmax(axis=1), self.loo_probability - others.max(axis=1)
        frame = pd.DataFrame(
            {
                "lsi": self.lsi,
                "lsi_mean_shift": self.lsi_mean_shift,
                "lsi_covariance": self.lsi_covariance,
                "loo_probability": self.loo_probability,
                "suggested_pair": pd.Series(best, dtype="Int64").mask(margin >= 0).array,
                "suspicion": self.suspicion,
                "margin": margin,
            },
            index=pd.Index(self.index, name="pair"),
        )
        if len(self.seed_scores.seeds) > 1:
            frame["lsi_low"], frame["lsi_high"] = self.seed_scores.interval()
        return frame

    def _others(self, own: float) -> NDArray[np.float64]:
        others = self.matches.copy()
        np.put_along_axis(others, self.index[:, None], own, axis=1)
        return others
