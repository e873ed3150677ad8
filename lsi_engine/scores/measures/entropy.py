"""How undecided the probe is about a sample it has not seen, and label quality weighed by that.

Confidence-weighted entropy is that of cleanlab (Kuan and Mueller 2022, "Model-agnostic label quality scoring to detect
real-world label errors"), here on leave-one-out probabilities instead of cross-validated ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from lsi_engine.scores.column import ByProducts, Column, Score

#: A probability of the given label below this counts as this, as in cleanlab.
LEAST_CONFIDENCE = 1e-6


def entropies(table: ByProducts) -> Mapping[str, ArrayLike]:
    """Entropy over log C, 0 to 1; and log(1 + r) / r with r = entropy / confidence, 0 (doubtful) to 1."""
    entropy = entr(table.probabilities).sum(axis=1) / np.log(table.probabilities.shape[1])
    ratio = entropy / np.maximum(table.loo_probability, LEAST_CONFIDENCE)
    with np.errstate(invalid="ignore"):
        quality = np.where(ratio > 0, np.log1p(ratio) / ratio, 1.0)
    return {"entropy": entropy, "weighted_entropy": quality}


ENTROPY = Score(
    "entropy",
    "how undecided the probe is, and label quality weighed by that",
    (
        Column(
            "entropy",
            "Entropy",
            "entropy",
            "unusual",
            "most ambiguous",
            "Entropy of the class probabilities without the sample, as a share of the largest possible.",
            top=1.0,
        ),
        Column(
            "weighted_entropy",
            "Weighted entropy",
            "weighted entropy",
            "safe",
            "best label quality",
            "Label quality by confidence-weighted entropy: low where the probe is sure of another label.",
            top=1.0,
        ),
    ),
    "the closed form's by-products",
    "N · C",
    entropies,
    evaluated=("weighted_entropy",),
)
