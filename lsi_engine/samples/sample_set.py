"""What is scored: a table with one row a sample, and a way to open one sample's media."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError

Modality = Literal["image", "text", "pairs", "features"]

#: Columns of ``SampleSet.skipped``.
SKIPPED_COLUMNS = ("item", "reason")
#: With more classes than this, each must have two samples on average: an id or a measure is no label.
MOST_SINGLE_CLASSES = 50
#: The columns every table has, all of them strings, none missing.
REQUIRED_COLUMNS = ("sample_id", "label", "name")


def opaque_id(reference: bytes) -> str:
    """Sample id of something known by ``reference``: 20 hexadecimal digits that give nothing about it away."""
    return hashlib.blake2b(reference, digest_size=10).hexdigest()


def description(kind: str, **settings: Any) -> dict[str, Any]:
    """``SampleSet.source`` of a source of ``kind``: paths as text, what is ``None`` left out."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return {"kind": kind} | {name: value for name, value in given.items() if value is not None}


def skipped_table(rows: Iterable[tuple[str, str]] = ()) -> pd.DataFrame:
    """``(item, reason)`` pairs as the table ``SampleSet.skipped``."""
    return pd.DataFrame(list(rows), columns=list(SKIPPED_COLUMNS), dtype="str")


@dataclass(frozen=True)
class SampleSet:
    """A dataset as the engine sees it.

    Attributes
    ----------
    name
        Short name of the dataset, for people.
    modality
        What ``media`` refers to: images, texts, or nothing but features.
    table
        One row a sample, in the source's own order, default RangeIndex. Columns, all ``str`` dtype:

        - ``sample_id``: opaque, unique and stable: it does not depend on the label, on the file's name in a readable
          way, or on which other samples are present. ASCII letters, digits, ``-`` and ``_`` only.
        - ``label``: the given label, as a class name.
        - ``name``: what a person would call the sample (relative path, index); may give the label away, so it is never
          shown in blinded reading.
        - ``media`` (images): reference that ``open_media(source, media)`` understands.
        - ``text`` (texts): the text itself. It is the sample's only copy in a run, so that pages and exports need
          neither the source nor the network, and a text that a corruption wrote can be shown at all.
        - ``content`` (images, texts): hash of the sample's bytes (UTF-8 of a text); the feature cache's key.
        - ``split``, ``group``, ``annotator`` (optional): as the source states them.
        - ``position`` (optional, int64): row in the source, where unusable samples went from among them.

        After a corruption also ``true_label`` (str) and ``corrupted`` (bool).
    source
        JSON-able description that lets ``open_media`` find the media again: ``{"kind": ..., "root": ...}``.
    skipped
        One row for each item that could not be used: ``item`` (str), ``reason`` (str).
    features
        ``(N, D)`` floats when the source is already a feature matrix, else ``None``.
    feature_names
        ``D`` names of the features' columns, where the source has any.
    """

    name: str
    modality: Modality
    table: pd.DataFrame
    source: dict[str, Any]
    skipped: pd.DataFrame = field(default_factory=skipped_table)
    features: NDArray[np.floating] | None = None
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        missing = [column for column in REQUIRED_COLUMNS if column not in self.table]
        if missing:
            raise InputError(f"{self.name}: the sample table lacks the column(s) {', '.join(missing)}")
        twice = self.table.loc[self.table["sample_id"].duplicated(), "sample_id"]
        if len(twice):
            raise InputError(f"{self.name}: sample id {twice.iloc[0]!r} occurs more than once")
        if self.features is not None and len(self.features) != len(self.table):
            raise InputError(
                f"{self.name}: {len(self.features)} feature rows but {len(self.table)} samples; they must match"
            )

    def __len__(self) -> int:
        return len(self.table)

    def with_table(self, table: pd.DataFrame) -> SampleSet:
        """The same samples with other columns or labels; rows and their order must not change."""
        if list(table["sample_id"]) != list(self.table["sample_id"]):
            raise InputError(f"{self.name}: a corruption must keep the samples and their order")
        return replace(self, table=table)

    def keep(self, kept: NDArray[np.bool_], skipped: pd.DataFrame) -> SampleSet:
        """Only the samples where ``kept (N,)`` holds; ``skipped`` (item, reason) says why the others went.

        Raises ``InputError`` when fewer than two classes are left. Corrupt labels after this, not before: a rate is a
        share of the samples that are really scored.
        """
        if not len(skipped) and kept.all():
            return self
        # Where a sample stood in the source outlives the dropping of its neighbours: exported indices rely on it.
        numbered = self.table if "position" in self.table else self.table.assign(position=np.arange(len(self)))
        remaining = replace(
            self,
            table=numbered.loc[kept].reset_index(drop=True),
            features=None if self.features is None else self.features[kept],
            skipped=pd.concat([self.skipped, skipped[list(SKIPPED_COLUMNS)]], ignore_index=True),
        )
        remaining.require_two_classes()
        return remaining

    def require_two_classes(self, remedy: str = "") -> None:
        """Raise ``InputError``, with ``remedy`` as advice, unless at least two classes have a sample."""
        # A pair is told apart from the other pairs, and need not have a label.
        what, least = ("group", 3) if self.modality == "pairs" else ("label", 2)
        classes = self.table[what].unique()
        if len(classes) > MOST_SINGLE_CLASSES and 2 * len(classes) > len(self) and what == "label":
            raise InputError(
                f"{self.name}: {len(classes):,} different labels on {len(self):,} samples, such as {classes[0]!r} and "
                f"{classes[1]!r}: is that the column of the labels? A class needs several samples to be learnt from."
            )
        if len(classes) >= least:
            return
        found = f"all {len(self)} samples are of class {classes[0]!r}" if len(classes) else "no usable sample"
        if what == "group":
            found, remedy = f"{len(classes)} usable image(s)", "Contrastive scoring needs at least three."
            reasons = "; ".join(f"{row.item}: {row.reason}" for row in self.skipped.head(3).itertuples())
            raise InputError(f"{self.name}: {found}. {remedy} {reasons}".rstrip())
        reasons = "; ".join(f"{row.item}: {row.reason}" for row in self.skipped.head(3).itertuples())
        left_out = f" {len(self.skipped)} item(s) were skipped, among them {reasons}." if reasons else ""
        raise InputError(f"{self.name}: {found}; scoring needs at least two classes.{left_out} {remedy}".rstrip())


#: ``(source, media) -> PIL.Image.Image | str``: see :mod:`lsi_engine.samples.media`.
OpenMedia = Callable[[dict[str, Any], str], Any]
