"""What a rule made of a run: kept as small integers, spelt out when somebody asks for the table."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.curation.rule import CleaningRule
from lsi_engine.curation.splits import PARTS

#: Columns of :meth:`CleanedSubset.frame`.
FRAME_COLUMNS = ("index", "sample_id", "name", "given_label", "final_label", "action", "reason")
#: What can become of a sample; ``Outcome.action`` holds places in this tuple.
OUTCOMES = ("keep", "relabel", "drop")
KEPT, RELABELLED, DROPPED = range(len(OUTCOMES))


class Reason(IntEnum):
    """Why a sample stays or goes."""

    UNDECIDED = 0
    REVIEWED_KEEP = 1
    REVIEWED_RELABEL = 2
    REVIEWED_DROP = 3
    REVIEWED_UNSURE = 4
    PLANTED = 5
    SUSPICION = 6
    NEAR_DUPLICATE = 7
    THINNED = 8
    BALANCED = 9


@dataclass(frozen=True)
class Outcome:
    """``(N,)`` each, rows in the dataset's order.

    ``given`` and ``final`` are places in ``names``, ``final`` −1 where the sample is dropped; ``action`` places in
    ``OUTCOMES``; ``reason`` a :class:`Reason`; ``part`` places in ``PARTS``, −1 where dropped, ``None`` without parts.
    """

    names: list[str]
    given: NDArray[np.int32]
    final: NDArray[np.int32]
    action: NDArray[np.int8]
    reason: NDArray[np.int8]
    part: NDArray[np.int8] | None = None


@dataclass(frozen=True)
class CleanedSubset:
    """The outcome of a rule on one run.

    ``decisions`` is the digest of the decisions that were looked at (:func:`decisions.digest`); ``stale`` are
    ids of decided samples whose given label has changed since, ``unknown`` ids the run does not have. Neither
    is applied, and both are named in every export. A decision that the run already follows (it was scored again
    after it) is neither: its relabelled samples keep the label they were given first as ``given_label``.
    """

    rule: CleaningRule
    decisions: str
    stale: tuple[str, ...]
    unknown: tuple[str, ...]
    _outcome: Outcome
    _scores: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Every sample of the run in the dataset's order, dropped ones included.

        Columns: ``index`` (int64, row in the dataset's own order, from 0), ``sample_id``, ``name``,
        ``given_label``, ``final_label`` (empty when dropped), ``action`` (keep, relabel, drop), ``reason``;
        ``split`` (train, validation, test, empty when dropped) where the rule makes parts.
        """
        scores, outcome = self._scores, self._outcome
        columns: dict[str, pd.Series | NDArray] = {
            "index": scores["position"].to_numpy() if "position" in scores else np.arange(len(scores)),
            "sample_id": scores["sample_id"],
            "name": scores["name"] if "name" in scores else np.full(len(scores), "", object),
            "given_label": _spelt(outcome.names, outcome.given),
            "final_label": _spelt(outcome.names, outcome.final),
            "action": _spelt(OUTCOMES, outcome.action),
            "reason": self._reasons(),
        }
        if outcome.part is not None:
            columns["split"] = _spelt(PARTS, outcome.part)
        types = dict.fromkeys([*FRAME_COLUMNS[1:], *(["split"] if "split" in columns else [])], "str")
        return pd.DataFrame(columns).reset_index(drop=True).astype(types | {"index": "int64"})

    def listed(self) -> pd.DataFrame:
        """The rows an export holds: those that stay, and the dropped ones where the rule lists them."""
        frame = self.frame()
        if not self.rule.list_dropped:
            frame = frame[self._outcome.action != DROPPED]
        return frame.reset_index(drop=True)

    @property
    def empty(self) -> bool:
        """Whether an export would list no sample."""
        return len(self._scores) == 0 or (not self.rule.list_dropped and bool((self._outcome.action == DROPPED).all()))

    @cached_property
    def digest(self) -> str:
        """:func:`kept_digest` of the samples that stay."""
        return kept_digest(self.frame())

    def counts(self) -> pd.DataFrame:
        """``kept, relabelled, dropped`` (int64) by given class, sorted by class name.

        The three add up to the class's samples; ``relabelled`` samples leave the class for another.
        ``final`` counts the samples that end up in the class.
        """
        return self._counts.copy()

    @cached_property
    def _counts(self) -> pd.DataFrame:
        outcome, size = self._outcome, len(self._outcome.names)
        acts = len(OUTCOMES)
        cells = np.bincount(outcome.given * np.int64(acts) + outcome.action, minlength=size * acts)
        table = pd.DataFrame(cells.reshape(size, acts), columns=["kept", "relabelled", "dropped"])
        table["final"] = np.bincount(outcome.final[outcome.final >= 0], minlength=size)
        table.index = pd.Index(outcome.names, name="class", dtype="str")
        return table.iloc[np.flatnonzero(table.to_numpy().any(axis=1))].sort_index().astype("int64")

    def _reasons(self) -> NDArray[np.object_]:
        end, scores, reason = self.rule.keep_end, self._scores, self._outcome.reason
        said = {
            Reason.UNDECIDED: "undecided",
            Reason.REVIEWED_KEEP: "reviewed: keep",
            Reason.REVIEWED_RELABEL: "reviewed: relabel",
            Reason.REVIEWED_DROP: "reviewed: drop",
            Reason.REVIEWED_UNSURE: "reviewed: unsure",
            Reason.PLANTED: "planted: not a sample of the dataset",
            Reason.SUSPICION: "suspicion: rather ",
            Reason.NEAR_DUPLICATE: "near-duplicate of a kept sample",
            Reason.THINNED: f"thinned: not among the {end} LSI of its class",
            Reason.BALANCED: f"balanced: not among the {end} LSI of its class",
        }
        spelt = _spelt([said[one] for one in Reason], reason)
        rows = np.flatnonzero(reason == Reason.SUSPICION)
        if "suggested_pair" in scores:  # an image and a caption, told apart from other pairs and not by class
            better = ["the caption of " + str(pair) for pair in scores["suggested_pair"].iloc[rows]]
        else:
            better = [str(label) for label in scores["suggested_label"].iloc[rows]]
        spelt[rows] = [said[Reason.SUSPICION] + one for one in better]
        return spelt


def kept_digest(frame: pd.DataFrame) -> str:
    """Hex digest of the samples that stay in ``frame`` (:meth:`CleanedSubset.frame`, or a file's list), in their order.

    Taken over ``index, sample_id, final_label`` and, where there are parts, ``split``.
    """
    kept = frame[frame["action"] != "drop"] if "action" in frame else frame
    columns = [column for column in ("index", "sample_id", "final_label", "split") if column in kept]
    content = json.dumps([kept[column].tolist() for column in columns], ensure_ascii=False)
    return hashlib.blake2b(content.encode("utf-8"), digest_size=16).hexdigest()


def _spelt(names: list[str] | tuple[str, ...], places: NDArray[np.integer]) -> NDArray[np.object_]:
    """The name at each place; −1 is empty."""
    return np.array([*names, ""], dtype=object)[places]
