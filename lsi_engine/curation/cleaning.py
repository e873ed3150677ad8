"""From scores, decisions and a rule to a cleaned subset: which samples stay, under which label, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from lsi_engine.curation.decisions import digest
from lsi_engine.curation.splits import split
from lsi_engine.errors import InputError

#: Columns of :meth:`CleanedSubset.frame`.
FRAME_COLUMNS = ("index", "sample_id", "name", "given_label", "final_label", "action", "reason")


class CleaningRule(BaseModel):
    """What to do with the decisions, and with the samples nobody decided. Equal rules give equal subsets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    apply_decisions: bool = Field(default=True, description="do what reviewers decided; else ignore them all")
    unsure: Literal["keep", "drop"] = Field(
        default="keep", description="samples that a reviewer marked unsure, under their given label"
    )
    drop_suspicion: float | None = Field(
        default=None,
        ge=0,
        description="drop undecided samples whose suspicion is at least this and that have a suggested label",
    )
    keep_fraction: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="keep this share of each final class, by LSI (rounded up, never less than a reviewer kept)",
    )
    keep_end: Literal["highest", "lowest"] = Field(
        default="highest", description="which end of the LSI the kept share is taken from"
    )
    deduplicate: bool = Field(default=False, description="keep one sample of each cluster of near-duplicates")
    balance: bool = Field(default=False, description="thin every class to the smallest one's size, by LSI")
    validation: float = Field(default=0, ge=0, lt=1, description="share of a validation part, groups kept whole")
    test: float = Field(default=0, ge=0, lt=1, description="share of a test part, groups kept whole")
    seed: int = Field(default=0, ge=0, description="of the parts")
    list_dropped: bool = Field(
        default=False, description="list the dropped samples in the file too, with an empty final label"
    )


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
    _frame: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Every sample of the run in the dataset's order, dropped ones included.

        Columns: ``index`` (int64, row in the dataset's own order, from 0), ``sample_id``, ``name``,
        ``given_label``, ``final_label`` (empty when dropped), ``action`` (keep, relabel, drop), ``reason``;
        ``split`` (train, validation, test, empty when dropped) where the rule makes parts.
        """
        return self._frame.copy()

    def listed(self) -> pd.DataFrame:
        """The rows an export holds: those that stay, and the dropped ones where the rule lists them."""
        frame = self._frame if self.rule.list_dropped else self._frame[self._frame["action"] != "drop"]
        return frame.reset_index(drop=True)

    def counts(self) -> pd.DataFrame:
        """``kept, relabelled, dropped`` (int64) by given class, sorted by class name.

        The three add up to the class's samples; ``relabelled`` samples leave the class for another.
        ``final`` counts the samples that end up in the class.
        """
        return self._counts.copy()

    @cached_property
    def _counts(self) -> pd.DataFrame:
        classes = sorted(set(self._frame["given_label"]) | set(self._frame["final_label"]) - {""})
        table = pd.crosstab(self._frame["given_label"], self._frame["action"])
        table = table.reindex(index=classes, columns=["keep", "relabel", "drop"], fill_value=0)
        table.columns = pd.Index(["kept", "relabelled", "dropped"])
        table["final"] = self._frame["final_label"].value_counts().reindex(classes, fill_value=0)
        table.index.name = "class"
        return table.astype("int64")


def clean(
    scores: pd.DataFrame, decisions: pd.DataFrame, rule: CleaningRule, duplicates: NDArray[np.integer] | None = None
) -> CleanedSubset:
    """Apply ``rule`` to a run.

    Parameters
    ----------
    scores
        One row a sample in the dataset's order: ``sample_id, label, lsi, suspicion, suggested_label``, ``name``
        where known, and ``position`` where unusable samples were left out or others planted (-1, always dropped).
    decisions
        :meth:`Decisions.latest` of that run.
    rule
        A person's keep or relabel outranks suspicion and thinning; thinning comes last and works on final
        classes. Ties in LSI go to the earlier row.
    duplicates
        ``(N,)`` cluster of each sample (:func:`lsi_engine.runs.duplicates.duplicate_clusters`); needed by
        ``rule.deduplicate``. Of a cluster the first sample stays that a person kept, else the first; parts of a
        split keep clusters whole too.

    Raises ``InputError`` when a column is missing, or the clusters where the rule needs them, or when the parts of a
    split add up to everything.
    """
    missing = {"sample_id", "label", "lsi", "suspicion", "suggested_label"} - set(scores)
    if missing:
        raise InputError(f"the scores lack the column(s) {', '.join(sorted(missing))}; compute the run again")
    ids = pd.Index(scores["sample_id"].astype("object"))
    given = scores["label"].astype("object").to_numpy(copy=True)
    names = scores["name"].astype("object").to_numpy() if "name" in scores else np.full(len(ids), "", object)
    final, action, reason = given.copy(), np.full(len(ids), "keep", object), np.full(len(ids), "undecided", object)
    settled = np.zeros(len(ids), dtype=bool)
    index = scores["position"].to_numpy() if "position" in scores else np.arange(len(ids))

    rows = ids.get_indexer(pd.Index(decisions["sample_id"].astype("object")))
    stale, unknown = [], []
    for row, decision in zip(rows, decisions.itertuples(), strict=True):
        if row < 0:
            if decision.action != "drop":
                unknown.append(str(decision.sample_id))
        elif decision.new_label == given[row]:  # missing unless it is a relabel
            if rule.apply_decisions:
                settled[row] = True
                given[row], action[row], reason[row] = decision.given_label, "relabel", "reviewed: relabel"
        elif decision.given_label != given[row]:
            stale.append(str(decision.sample_id))
        elif rule.apply_decisions:
            settled[row] = True
            reason[row] = f"reviewed: {decision.action}"
            if decision.action == "relabel":
                final[row], action[row] = decision.new_label, "relabel"
            elif decision.action == "drop" or (decision.action == "unsure" and rule.unsure == "drop"):
                action[row] = "drop"

    planted = index < 0
    action[planted], reason[planted] = "drop", "planted: not a sample of the dataset"

    if rule.drop_suspicion is not None:
        suggested = scores["suggested_label"].astype("object").fillna("").to_numpy()
        if "suggested_pair" in scores:  # an image and a caption, told apart from other pairs and not by class
            rather = scores["suggested_pair"].astype("object")
            suggested = np.where(rather.isna(), "", "the caption of " + rather.fillna("").astype("str"))
        doubtful = (scores["suspicion"].to_numpy() >= rule.drop_suspicion) & (suggested != "") & ~settled & ~planted
        action[doubtful] = "drop"
        reason[doubtful] = [f"suspicion: rather {label}" for label in suggested[doubtful]]

    if rule.deduplicate:
        if duplicates is None:
            raise InputError("leaving out near-duplicates needs their clusters")
        order = np.lexsort((np.arange(len(ids)), ~settled, action == "drop"))
        repeated = np.ones(len(ids), dtype=bool)
        repeated[order[np.unique(duplicates[order], return_index=True)[1]]] = False
        repeated &= ~settled & (action != "drop")
        action[repeated], reason[repeated] = "drop", "near-duplicate of a kept sample"

    lsi = scores["lsi"].to_numpy()
    if rule.keep_fraction is not None:
        share = rule.keep_fraction
        # 0.1 * 30 is 3.0000000000000004 in binary: without the guard it would round up to 4.
        thinned = _beyond(lsi, final, action != "drop", settled, rule, lambda size: math.ceil(share * size - 1e-9))
        action[thinned] = "drop"
        reason[thinned] = f"thinned: not among the {rule.keep_end} LSI of its class"

    if rule.balance:
        alive = action != "drop"
        smallest = int(pd.Series(final[alive]).value_counts().min()) if alive.any() else 0
        thinned = _beyond(lsi, final, alive, settled, rule, lambda size: smallest)
        action[thinned] = "drop"
        reason[thinned] = f"balanced: not among the {rule.keep_end} LSI of its class"

    final[action == "drop"] = ""
    frame = pd.DataFrame(
        dict(zip(FRAME_COLUMNS, (index, ids, names, given, final, action, reason), strict=True))
    ).astype(dict.fromkeys(FRAME_COLUMNS[1:], "str") | {"index": "int64"})
    if rule.validation or rule.test:
        frame["split"] = _parts(scores, final, action != "drop", rule, duplicates).astype("str")
    return CleanedSubset(rule, digest(decisions), tuple(sorted(stale)), tuple(sorted(unknown)), frame)


def _parts(
    scores: pd.DataFrame,
    final: NDArray[np.object_],
    alive: NDArray[np.bool_],
    rule: CleaningRule,
    duplicates: NDArray[np.integer] | None,
) -> pd.Series:
    """The part of each kept sample, empty for dropped ones; groups and near-duplicates are never torn apart."""
    if rule.validation + rule.test >= 1:
        raise InputError("the validation and test parts leave nothing to train on: their shares must add up to below 1")
    rows = np.arange(len(scores))
    edges = [(rows, len(rows) + pd.factorize(duplicates)[0])] if duplicates is not None else []
    if "group" in scores:
        named = scores["group"].astype("object").fillna("").to_numpy()
        has = named != ""
        edges.append((rows[has], 2 * len(rows) + pd.factorize(named[has])[0]))
    start, end = (np.concatenate(side) for side in zip(*edges, strict=True)) if edges else (rows[:0], rows[:0])
    graph = scipy.sparse.coo_matrix((np.ones(len(start)), (start, end)), shape=(3 * len(rows),) * 2)
    cluster = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][: len(rows)]
    parts = np.full(len(scores), "", dtype=object)
    parts[alive] = split(final[alive], cluster[alive], (rule.validation, rule.test), rule.seed)
    return pd.Series(parts)


def _beyond(
    lsi: NDArray[np.floating],
    label: NDArray[np.object_],
    alive: NDArray[np.bool_],
    settled: NDArray[np.bool_],
    rule: CleaningRule,
    quota_of: Callable[[int], int],
) -> NDArray[np.bool_]:
    """``(N,)`` bool: undecided samples beyond the quota of their class, which settled ones fill first."""
    beyond = np.zeros(len(lsi), dtype=bool)
    order = np.argsort(lsi if rule.keep_end == "lowest" else -lsi, kind="stable")
    for name in sorted(set(label[alive])):
        members = order[(label[order] == name) & alive[order]]
        quota = quota_of(len(members))
        free = members[~settled[members]]
        beyond[free[max(quota - int(settled[members].sum()), 0) :]] = True
    return beyond
