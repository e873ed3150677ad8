"""The sources there are, and opening one of them by its description.

A new source is one file that ends with its :class:`.Source`, and a line here.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.images.cifar import CIFAR10, CIFAR100
from lsi_engine.samples.images.dicom import DICOM_FOLDER
from lsi_engine.samples.images.digits import DIGITS
from lsi_engine.samples.images.image_folder import IMAGE_FOLDER
from lsi_engine.samples.images.published_folders import PNEUMONIA, WORDNET_FOLDER
from lsi_engine.samples.pairs.image_text_pairs import IMAGE_TEXT_PAIRS
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.source import MediaReader, Source
from lsi_engine.samples.tables.breast_cancer import BREAST_CANCER
from lsi_engine.samples.tables.feature_file import FEATURE_FILE
from lsi_engine.samples.tables.table import TABLE
from lsi_engine.samples.text.demo_texts import DEMO_TEXTS
from lsi_engine.samples.text.texts import TEXTS

__all__ = ["SOURCES", "MediaReader", "Source", "open_source", "sources"]

#: Every source by its kind, the name that it has in a run's configuration.
SOURCES: dict[str, Source] = {
    source.kind: source
    for source in (
        DIGITS,
        IMAGE_FOLDER,
        CIFAR10,
        CIFAR100,
        WORDNET_FOLDER,
        PNEUMONIA,
        DICOM_FOLDER,
        FEATURE_FILE,
        TEXTS,
        DEMO_TEXTS,
        TABLE,
        BREAST_CANCER,
        IMAGE_TEXT_PAIRS,
    )
}


def sources() -> tuple[Source, ...]:
    """Every source, in the order in which they are listed for people."""
    return tuple(SOURCES.values())


def open_source(source: dict[str, Any], *, progress: Progress = silent) -> SampleSet:
    """Read the samples that ``source`` describes: its ``kind`` names the function, the rest are its arguments.

    ``first`` with any kind: only that many samples, from the first on. ``samples.source`` of every sample set is such a
    description, so a run's configuration can be carried out again. Raises ``InputError`` for an unknown kind or
    argument.
    """
    arguments = dict(source)
    kind, first = arguments.pop("kind", None), arguments.pop("first", None)
    if kind not in SOURCES:
        raise InputError(f"there is no source {kind!r}; known: {', '.join(SOURCES)}")
    known = SOURCES[kind]
    try:
        inspect.signature(known.opener).bind(**arguments)
    except TypeError as error:
        raise InputError(f"source {kind!r}: {error}") from error
    samples = known.opener(**arguments, **({"progress": progress} if known.reports_progress else {}))
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
