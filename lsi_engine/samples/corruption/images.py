"""Damage to images before their features: see :mod:`lsi_engine.samples.images.damage` for what each kind does."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.kind import CLASSES, RATE, SEED, SEVERITY, Corruption
from lsi_engine.samples.corruption.record import chosen, generator, level, record
from lsi_engine.samples.images.damage import damaged_content, sample_seed
from lsi_engine.samples.sample_set import SampleSet


def damage_images(
    kind: str, samples: SampleSet, rate: float = 0.1, severity: int = 3, classes: Any = None, seed: int = 0
) -> SampleSet:
    """Damage exactly ``round(rate * n)`` of the n images of ``classes``, each with random numbers of its own.

    The media reference carries the damage, so that what is shown is what was scored, and the content key with it, so
    that the feature cache keeps the damaged image apart from the whole one. ``true_content`` keeps the key it had.

    Raises ``InputError`` where there are no images, or features that the damage would not reach.
    """
    require_images(samples, kind)
    level(severity, kind)
    rows = chosen(samples, rate, classes, generator(seed, kind))
    table = derived(samples.table, rows, kind, severity, seed)
    return samples.with_table(record(table, rows, f"{kind} {severity}"))


def derived(table: pd.DataFrame, rows: Any, kind: str, severity: int, seed: int) -> pd.DataFrame:
    """``table`` with the media references and content keys of ``rows`` behind one more damage."""
    table = table.copy()
    if "true_content" not in table:
        table["true_content"] = table["content"]
    media, content = np.array(table["media"], dtype=object), np.array(table["content"], dtype=object)
    ids = table["sample_id"].to_numpy(dtype=object)
    for row in rows:
        operation = f"{kind}-{severity}-{sample_seed(seed, f'{kind} {ids[row]}')}"
        media[row] = f"/{operation}/{media[row]}"
        content[row] = damaged_content(content[row], operation)
    table["media"] = pd.Series(media, index=table.index, dtype="str")
    table["content"] = pd.Series(content, index=table.index, dtype="str")
    return table


def require_images(samples: SampleSet, what: str) -> None:
    """Raise ``InputError`` unless features are still to be computed from the samples' images."""
    if samples.modality != "image" or "media" not in samples.table:
        raise InputError(f"{what}: {samples.name} has no images")
    if samples.features is not None:
        raise InputError(
            f"{what}: {samples.name} is scored on features of its own, which damage to its images does not reach; "
            "name a backbone, e.g. --backbone pixels"
        )


IMAGE_CORRUPTIONS = tuple(
    Corruption(kind, partial(damage_images, kind), "media", ("image",), summary, (RATE, SEVERITY, CLASSES, SEED))
    for kind, summary in {
        "gaussian_noise": "Gaussian noise on the pixels",
        "blur": "Gaussian blur",
        "exposure": "over- or underexposed",
        "crop": "only a part of the image",
        "occlusion": "a black rectangle somewhere",
        "jpeg": "compressed too much",
    }.items()
)
