"""What is scored: samples from one source, as a table, and a way to open one sample's media."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.bundled import breast_cancer, digits
from lsi_engine.samples.images.cifar import cifar10, cifar100
from lsi_engine.samples.images.dicom import dicom_folder
from lsi_engine.samples.images.image_folder import image_folder
from lsi_engine.samples.images.published_folders import pneumonia, wordnet_folder
from lsi_engine.samples.media import UnreadableMedia, open_media
from lsi_engine.samples.pairs.image_text_pairs import image_text_pairs
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.tables.feature_file import feature_file
from lsi_engine.samples.tables.table import table
from lsi_engine.samples.texts.demo_texts import demo_texts
from lsi_engine.samples.texts.texts import texts

__all__ = [
    "SampleSet",
    "UnreadableMedia",
    "breast_cancer",
    "cifar10",
    "cifar100",
    "demo_texts",
    "dicom_folder",
    "digits",
    "feature_file",
    "image_folder",
    "image_text_pairs",
    "open_media",
    "open_source",
    "pneumonia",
    "table",
    "texts",
    "wordnet_folder",
]


def open_source(source: dict[str, Any], *, progress: Progress = silent) -> SampleSet:
    """Read the samples that ``source`` describes: its ``kind`` names the function, the rest are its arguments.

    ``first`` with any kind: only that many samples, from the first on.
    ``samples.source`` of every sample set is such a description, so a run's configuration can be carried out
    again. Raises ``InputError`` for an unknown kind or argument.
    """
    kinds: dict[str, tuple[Callable[..., SampleSet], bool]] = {
        "digits": (digits, False),
        "image_folder": (image_folder, True),
        "cifar10": (cifar10, True),
        "cifar100": (cifar100, True),
        "wordnet_folder": (wordnet_folder, True),
        "pneumonia": (pneumonia, True),
        "dicom_folder": (dicom_folder, True),
        "feature_file": (feature_file, True),
        "texts": (texts, True),
        "demo_texts": (demo_texts, False),
        "table": (table, True),
        "breast_cancer": (breast_cancer, False),
        "image_text_pairs": (image_text_pairs, True),
    }
    arguments = dict(source)
    kind, first = arguments.pop("kind", None), arguments.pop("first", None)
    if kind not in kinds:
        raise InputError(f"there is no source {kind!r}; known: {', '.join(kinds)}")
    opener, reports = kinds[kind]
    try:
        inspect.signature(opener).bind(**arguments)
    except TypeError as error:
        raise InputError(f"source {kind!r}: {error}") from error
    samples = opener(**arguments, progress=progress) if reports else opener(**arguments)
    return samples if first is None else _first(samples, first)


def _first(samples: SampleSet, count: Any) -> SampleSet:
    """The first ``count`` samples alone; raises ``InputError`` for what is no such number."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise InputError(f"the number of first samples must be a whole number, 2 or greater, not {count!r}")
    shortened = replace(
        samples,
        table=samples.table.head(count),
        features=None if samples.features is None else samples.features[:count],
        source={**samples.source, "first": count},
    )
    shortened.require_two_classes()
    return shortened
