"""The sample's own loss under the probe trained without it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from lsi_engine.scores.column import ByProducts, Column, Score


def loo_loss(table: ByProducts) -> Mapping[str, ArrayLike]:
    """−log of the given label's leave-one-out probability, nats; never infinite: the least double stands for 0."""
    return {"loo_loss": -np.log(np.maximum(table.loo_probability, np.finfo(np.float64).tiny))}


LOO_LOSS = Score(
    "loo_loss",
    "the sample's own cross-entropy under the probe trained without it",
    (
        Column(
            "loo_loss",
            "Leave-one-out loss",
            "leave-one-out loss",
            "suspicious",
            "least expected label",
            "−log of the probability that a probe trained without the sample gives to its label.",
            unit="nats",
            log=True,
        ),
    ),
    "the closed form's by-products",
    "N · C",
    loo_loss,
    evaluated=("loo_loss",),
)
