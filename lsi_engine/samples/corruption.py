"""Deliberate damage with a known answer: what was done to which sample stays in the table.

A corruption is ``(samples, **settings) -> SampleSet``: same samples, same order, with the columns ``true_label``
(the label before any corruption) and ``corrupted`` (whether the sample now differs from what it was).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from lsi_engine.errors import InputError
from lsi_engine.samples.sample_set import SampleSet


def flip_labels(samples: SampleSet, rate: float, seed: int = 0) -> SampleSet:
    """Give exactly ``round(rate * N)`` samples another label, each other class being equally likely.

    Parameters
    ----------
    samples
        At least two classes.
    rate
        Share of all samples that get a wrong label, from 0 to 1.
    seed
        Same samples in the same order, same rate and same seed: same flips, on every machine.

    Returns
    -------
    The samples with new ``label`` values. ``true_label`` is kept from an earlier corruption if there was one, and
    ``corrupted`` is ``label != true_label``, so a label that a second pass happens to restore is not corrupted.
    """
    if not (isinstance(rate, int | float) and math.isfinite(rate) and 0 <= rate <= 1):
        raise InputError(f"the rate of flipped labels must lie between 0 and 1, not {rate!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"the seed must be a whole number, 0 or greater, not {seed!r}")
    samples.require_two_classes()
    classes, given = np.unique(samples.table["label"].to_numpy(dtype=object), return_inverse=True)
    random = np.random.default_rng(seed)
    flipped = random.choice(len(given), size=round(rate * len(given)), replace=False)
    # A step of 1 .. C-1 around the circle of classes reaches each other class with equal chance, never the same.
    steps = random.integers(1, len(classes), size=len(flipped))
    given[flipped] = (given[flipped] + steps) % len(classes)
    table = samples.table.copy()
    if "true_label" not in table:
        table["true_label"] = table["label"]
    table["label"] = classes[given]
    table["label"] = table["label"].astype("str")
    table["corrupted"] = (table["label"] != table["true_label"]).astype(bool)
    return samples.with_table(table)


#: Every corruption by the name it has in a run's configuration.
CORRUPTIONS: dict[str, Callable[..., SampleSet]] = {"flip_labels": flip_labels}


def apply(samples: SampleSet, steps: Iterable[Mapping[str, Any]]) -> SampleSet:
    """Apply ``steps`` in order, each ``{"kind": NAME, **settings}``, e.g. ``{"kind": "flip_labels", "rate": 0.1}``.

    Raises ``InputError`` for an unknown kind or setting, before anything is changed.
    """
    planned = []
    for step in steps:
        settings = dict(step)
        kind = settings.pop("kind", None)
        if kind not in CORRUPTIONS:
            raise InputError(f"there is no corruption {kind!r}; known: {', '.join(sorted(CORRUPTIONS))}")
        try:
            inspect.signature(CORRUPTIONS[kind]).bind(samples, **settings)
        except TypeError as error:
            raise InputError(f"corruption {kind!r}: {error}") from error
        planned.append((CORRUPTIONS[kind], settings))
    for corruption, settings in planned:
        samples = corruption(samples, **settings)
    return samples
