"""Rows of features on their way to being samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsi_engine.samples.sample_set import SampleSet, skipped_table
from lsi_engine.samples.tables.columns import sample_table


@dataclass(frozen=True)
class FeatureRows:
    """N rows as a file holds them, those that cannot be used among them.

    Attributes
    ----------
    features
        ``(N, D)`` floats.
    columns
        ``sample_id``, ``name``, ``label`` and what else the sample table is to have, each ``(N,)``: with ``media`` the
        samples are images.
    places
        Where each row stands, for the list of what is skipped.
    reasons
        Why a row cannot be used, by its number; that it has no label need not be said.
    skipped
        ``(item, reason)`` of what was left out before.
    positions
        The rows' numbers in the source, where they are not 0 to N - 1.
    feature_names
        Names of the D columns.
    """

    features: NDArray[np.floating]
    columns: dict[str, list[str]]
    places: Sequence[str]
    reasons: dict[int, str]
    skipped: Sequence[tuple[str, str]] = ()
    positions: Sequence[int] | None = None
    feature_names: tuple[str, ...] | None = None

    def samples(self, name: str, source: dict[str, Any]) -> SampleSet:
        """The usable rows as samples; raises ``InputError`` when they have fewer than two classes."""
        table = sample_table(self.columns, self.positions)
        unlabelled = {int(row): "has no label" for row in np.flatnonzero(table["label"] == "")}
        reasons = unlabelled | self.reasons
        kept = np.ones(len(table), dtype=bool)
        kept[list(reasons)] = False
        refused = [(self.places[row], reason) for row, reason in sorted(reasons.items())]
        everything = SampleSet(
            name,
            "image" if "media" in table else "features",
            table,
            source,
            features=self.features,
            feature_names=self.feature_names,
        )
        samples = everything.keep(kept, skipped_table([*self.skipped, *refused]))
        samples.require_two_classes()
        return samples
