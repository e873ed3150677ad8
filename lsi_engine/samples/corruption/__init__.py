"""Deliberate damage with a known answer: what was done to which sample stays in the table.

A corruption is ``(samples, **settings) -> SampleSet``; :mod:`.record` says what it leaves in the table. The same
samples, settings and seed give the same damage on every machine.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.feature_noise import FEATURE_NOISE
from lsi_engine.samples.corruption.human_labels import HUMAN_LABELS
from lsi_engine.samples.corruption.images import IMAGE_CORRUPTIONS
from lsi_engine.samples.corruption.kind import STAGES, Corruption, Stage
from lsi_engine.samples.corruption.labels import FLIP_BY_CONFUSION, FLIP_LABELS, FLIP_PAIRS, flip_labels
from lsi_engine.samples.corruption.lorem_ipsum import LOREM_IPSUM
from lsi_engine.samples.corruption.pairs import SWAP_CAPTIONS
from lsi_engine.samples.corruption.planted import EXACT_DUPLICATES, NEAR_DUPLICATES, OUTLIERS
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.setting import Setting

__all__ = ["CORRUPTIONS", "Corruption", "Setting", "Stage", "apply", "flip_labels", "stages"]

#: Every corruption by its kind.
CORRUPTIONS: dict[str, Corruption] = {
    corruption.kind: corruption
    for corruption in (
        FLIP_LABELS,
        FLIP_PAIRS,
        FLIP_BY_CONFUSION,
        HUMAN_LABELS,
        FEATURE_NOISE,
        *IMAGE_CORRUPTIONS,
        LOREM_IPSUM,
        SWAP_CAPTIONS,
        EXACT_DUPLICATES,
        NEAR_DUPLICATES,
        OUTLIERS,
    )
}


def apply(samples: SampleSet, steps: Iterable[Mapping[str, Any]], stage: Stage | None = None) -> SampleSet:
    """Apply ``steps`` in order, each ``{"kind": NAME, **settings}``, e.g. ``{"kind": "flip_labels", "rate": 0.1}``.

    Stages come one after the other whatever the order of the steps: media, labels, features. With ``stage`` only its
    steps are applied. Raises ``InputError`` for an unknown kind or setting, or a kind that these samples cannot have,
    before anything is changed.
    """
    planned = []
    for step in steps:
        settings = dict(step)
        kind = settings.pop("kind", None)
        if kind not in CORRUPTIONS:
            raise InputError(f"there is no corruption {kind!r}; known: {', '.join(sorted(CORRUPTIONS))}")
        corruption = CORRUPTIONS[kind]
        try:
            inspect.signature(corruption.apply).bind(samples, **settings)
        except TypeError as error:
            raise InputError(f"corruption {kind!r}: {error}") from error
        if samples.modality not in corruption.modalities:
            fitting = " and ".join(corruption.modalities)
            raise InputError(f"corruption {kind!r} is for {fitting} datasets; {samples.name} holds {samples.modality}")
        planned.append((corruption, settings))
    for current in STAGES if stage is None else (stage,):
        for corruption, settings in planned:
            if corruption.stage == current:
                samples = corruption.apply(samples, **settings)
    return samples


def stages(steps: Iterable[Mapping[str, Any]]) -> set[Stage]:
    """The stages at which ``steps`` change anything; unknown kinds are left to :func:`apply`."""
    return {CORRUPTIONS[step["kind"]].stage for step in steps if step.get("kind") in CORRUPTIONS}
