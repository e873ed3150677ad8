"""Noise on the features themselves, as in the paper's Figure 7."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.kind import ANY, CLASSES, RATE, SEED, Corruption
from lsi_engine.samples.corruption.record import chosen, generator, record
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.setting import Setting

#: Rows that get their noise together; bounds the memory.
ROWS = 4096


def feature_noise(samples: SampleSet, sigma: float, rate: float = 1.0, classes: Any = None, seed: int = 0) -> SampleSet:
    """Add Gaussian noise to the features of chosen samples.

    Parameters
    ----------
    samples
        With ``features (N, D)``.
    sigma
        Standard deviation of the noise on feature j, in units of feature j's own standard deviation over all N samples
        before the noise; a feature without spread gets none. 0 changes nothing and marks nothing.
    rate, classes, seed
        Which samples: exactly ``round(rate * n)`` of the n samples of ``classes``.

    Raises ``InputError`` for a negative sigma, or when there are no features to disturb.
    """
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not math.isfinite(sigma) or sigma < 0:
        raise InputError(f"sigma must be a number, 0 or greater, not {sigma!r}")
    if samples.features is None:
        raise InputError(f"{samples.name} has no features yet; feature noise comes after their extraction")
    random = generator(seed, "feature_noise")
    rows = np.sort(chosen(samples, rate, classes, random))
    if sigma == 0:
        rows = rows[:0]
    features = np.array(samples.features)
    spread = samples.features.std(axis=0, dtype=np.float64)
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        features[block] += (sigma * spread * random.standard_normal((len(block), features.shape[1]))).astype(
            features.dtype
        )
    return replace(samples, table=record(samples.table, rows, f"feature_noise {sigma:g}"), features=features)


FEATURE_NOISE = Corruption(
    "feature_noise",
    feature_noise,
    "features",
    ANY,
    "Gaussian noise on the features",
    (
        Setting("sigma", "number", "in units of each feature's own standard deviation", 1.0),
        replace(RATE, default=1.0),
        CLASSES,
        SEED,
    ),
)
