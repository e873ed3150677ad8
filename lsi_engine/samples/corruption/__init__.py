"""Deliberate damage with a known answer: what was done to which sample stays in the table.

A corruption is ``(samples, **settings) -> SampleSet``; :mod:`.record` says what it leaves in the table. The same
samples, settings and seed give the same damage on every machine.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.feature_noise import feature_noise
from lsi_engine.samples.corruption.human_labels import SETS, human_labels
from lsi_engine.samples.corruption.images import of_kind
from lsi_engine.samples.corruption.labels import flip_by_confusion, flip_labels, flip_pairs
from lsi_engine.samples.corruption.lorem_ipsum import lorem_ipsum
from lsi_engine.samples.corruption.pairs import swap_captions
from lsi_engine.samples.corruption.planted import exact_duplicates, near_duplicates, outliers
from lsi_engine.samples.corruption.record import CLASSES, RATE, SEED, STAGES, Corruption, Setting, Stage
from lsi_engine.samples.sample_set import Modality, SampleSet

__all__ = ["CORRUPTIONS", "Corruption", "Setting", "Stage", "apply", "flip_labels", "stages"]

_ANY: tuple[Modality, ...] = ("image", "text", "features")
_SEVERITY = Setting("severity", "level", "from 1, just visible, to 5, hardly recognisable", 3)
_FEW = Setting("rate", "share", RATE.help, 0.05)


def _image(kind: str, summary: str) -> Corruption:
    return Corruption(of_kind(kind), "media", ("image",), summary, (RATE, _SEVERITY, CLASSES, SEED))


#: Every corruption by the name it has in a run's configuration.
CORRUPTIONS: dict[str, Corruption] = {
    "flip_labels": Corruption(
        flip_labels, "labels", _ANY, "labels to any other class, equally likely", (RATE, CLASSES, SEED)
    ),
    "flip_pairs": Corruption(
        flip_pairs,
        "labels",
        _ANY,
        "labels to the next class, or as 'to' says",
        (RATE, Setting("to", "text", "cat>dog, several separated by |; empty: the next class"), CLASSES, SEED),
    ),
    "flip_by_confusion": Corruption(
        flip_by_confusion,
        "labels",
        _ANY,
        "labels in the shares of a confusion matrix",
        (Setting("matrix", "path", "CSV with class names in its first line and column"), SEED),
    ),
    "human_labels": Corruption(
        human_labels,
        "labels",
        _ANY,
        "the labels that people gave to CIFAR-10 or CIFAR-100 (CIFAR-N)",
        (
            Setting("file", "path", "CIFAR-10_human.pt, CIFAR-100_human.pt, or the same as .npz or .csv"),
            Setting("which", "choice", "which of the file's label sets", "aggre", tuple(SETS)),
        ),
    ),
    "feature_noise": Corruption(
        feature_noise,
        "features",
        _ANY,
        "Gaussian noise on the features",
        (
            Setting("sigma", "number", "in units of each feature's own standard deviation", 1.0),
            Setting("rate", "share", RATE.help, 1.0),
            CLASSES,
            SEED,
        ),
    ),
    "gaussian_noise": _image("gaussian_noise", "Gaussian noise on the pixels"),
    "blur": _image("blur", "Gaussian blur"),
    "exposure": _image("exposure", "over- or underexposed"),
    "crop": _image("crop", "only a part of the image"),
    "occlusion": _image("occlusion", "a black rectangle somewhere"),
    "jpeg": _image("jpeg", "compressed too much"),
    "lorem_ipsum": Corruption(
        lorem_ipsum,
        "media",
        ("text",),
        "pseudo-Latin under random labels, in the place of texts or beside them",
        (RATE, Setting("mode", "choice", "replace texts, or add to them", "replace", ("replace", "add")), SEED),
    ),
    "swap_captions": Corruption(
        swap_captions, "media", ("pairs",), "captions under the images of other pairs", (RATE, SEED)
    ),
    "exact_duplicates": Corruption(
        exact_duplicates, "media", _ANY, "copies planted beside their originals", (_FEW, CLASSES, SEED)
    ),
    "near_duplicates": Corruption(
        near_duplicates,
        "media",
        ("image", "features"),
        "slightly different copies planted beside their originals",
        (_FEW, Setting("severity", "level", "how much they differ", 2), CLASSES, SEED),
    ),
    "outliers": Corruption(
        outliers,
        "media",
        ("image",),
        "images of another folder planted under random labels",
        (
            Setting("folder", "path", "folder of images that do not belong here"),
            Setting("rate", "share", "as a share of the dataset's samples", 0.01),
            SEED,
        ),
    ),
}


def apply(samples: SampleSet, steps: Iterable[Mapping[str, Any]], stage: Stage | None = None) -> SampleSet:
    """Apply ``steps`` in order, each ``{"kind": NAME, **settings}``, e.g. ``{"kind": "flip_labels", "rate": 0.1}``.

    Stages come one after the other whatever the order of the steps: media, labels, features. With ``stage`` only
    its steps are applied. Raises ``InputError`` for an unknown kind or setting, or a kind that these samples cannot
    have, before anything is changed.
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
