"""From scores, decisions and a rule to a cleaned subset: which samples stay, under which label, and why.

Everything is done on whole columns of small integers: a rule on a million samples is answered in tenths of a second.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from lsi_engine.curation.decisions import digest
from lsi_engine.curation.rule import CleaningRule
from lsi_engine.curation.splits import split
from lsi_engine.curation.subset import DROPPED, FRAME_COLUMNS, KEPT, RELABELLED, CleanedSubset, Outcome, Reason
from lsi_engine.errors import InputError

__all__ = ["FRAME_COLUMNS", "CleanedSubset", "CleaningRule", "clean", "rows_of"]

_REVIEWED = {
    "keep": Reason.REVIEWED_KEEP,
    "relabel": Reason.REVIEWED_RELABEL,
    "drop": Reason.REVIEWED_DROP,
    "unsure": Reason.REVIEWED_UNSURE,
}


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
        ``(N,)`` cluster of each sample (:func:`lsi_engine.runs.artefacts.duplicates.duplicate_clusters`); needed by
        ``rule.deduplicate``. Of a cluster the first sample stays that a person kept, else the first; parts of a
        split keep clusters whole too.

    Raises ``InputError`` when a column is missing, or the clusters where the rule needs them, or when the parts of a
    split add up to everything.
    """
    missing = {"sample_id", "label", "lsi", "suspicion", "suggested_label"} - set(scores)
    if missing:
        raise InputError(f"the scores lack the column(s) {', '.join(sorted(missing))}; compute the run again")
    if rule.deduplicate and duplicates is None:
        raise InputError("leaving out near-duplicates needs their clusters")
    if rule.validation + rule.test >= 1:
        raise InputError("the validation and test parts leave nothing to train on: their shares must add up to below 1")
    given, names = _coded(scores["label"])
    final = given.copy()
    action = np.full(len(scores), KEPT, dtype=np.int8)
    reason = np.full(len(scores), Reason.UNDECIDED, dtype=np.int8)
    settled = np.zeros(len(scores), dtype=bool)
    codes = {name: code for code, name in enumerate(names)}

    def code_of(name: str) -> int:
        if name not in codes:
            codes[name] = len(names)
            names.append(name)
        return codes[name]

    stale, unknown = [], []
    rows = rows_of(scores["sample_id"], decisions["sample_id"])
    for row, decision in zip(rows, decisions.itertuples(), strict=True):
        if row < 0:
            if decision.action != "drop":
                unknown.append(str(decision.sample_id))
        elif decision.new_label == names[given[row]]:  # missing unless it is a relabel
            if rule.apply_decisions:
                settled[row] = True
                given[row], action[row] = code_of(str(decision.given_label)), RELABELLED
                reason[row] = Reason.REVIEWED_RELABEL
        elif decision.given_label != names[given[row]]:
            stale.append(str(decision.sample_id))
        elif rule.apply_decisions:
            settled[row] = True
            reason[row] = _REVIEWED[str(decision.action)]
            if decision.action == "relabel":
                final[row], action[row] = code_of(str(decision.new_label)), RELABELLED
            elif decision.action == "drop" or (decision.action == "unsure" and rule.unsure == "drop"):
                action[row] = DROPPED

    free = ~settled
    if "position" in scores:
        planted = scores["position"].to_numpy() < 0
        action[planted], reason[planted] = DROPPED, Reason.PLANTED
        free &= ~planted

    if rule.drop_suspicion is not None:
        doubtful = (scores["suspicion"].to_numpy() >= rule.drop_suspicion) & _has_suggestion(scores) & free
        action[doubtful], reason[doubtful] = DROPPED, Reason.SUSPICION

    if rule.deduplicate and duplicates is not None:
        # Of a cluster the first stays that a person kept, else the first that is there at all.
        order = np.argsort(2 * (action == DROPPED).astype(np.int8) + ~settled, kind="stable")
        first = np.empty(int(duplicates.max()) + 1, dtype=np.int64)
        first[duplicates[order[::-1]]] = order[::-1]
        repeated = ~settled & (action != DROPPED)
        repeated[first[np.unique(duplicates)]] = False
        action[repeated], reason[repeated] = DROPPED, Reason.NEAR_DUPLICATE

    if rule.keep_fraction is not None:
        share = rule.keep_fraction
        # 0.1 * 30 is 3.0000000000000004 in binary: without the guard it would round up to 4.
        thinned = _beyond(scores, final, action, settled, rule, lambda sizes: np.ceil(share * sizes - 1e-9))
        action[thinned], reason[thinned] = DROPPED, Reason.THINNED

    if rule.balance:
        thinned = _beyond(scores, final, action, settled, rule, lambda sizes: np.full(len(sizes), _smallest(sizes)))
        action[thinned], reason[thinned] = DROPPED, Reason.BALANCED

    final[action == DROPPED] = -1
    part = _parts(scores, final, names, rule, duplicates) if rule.validation or rule.test else None
    outcome = Outcome(names, given, final, action, reason, part)
    return CleanedSubset(rule, digest(decisions), tuple(sorted(stale)), tuple(sorted(unknown)), outcome, scores)


def _coded(labels: pd.Series) -> tuple[NDArray[np.int32], list[str]]:
    """``(N,)`` places in the list of names, free to be changed."""
    if isinstance(labels.dtype, pd.CategoricalDtype):
        return labels.cat.codes.to_numpy().astype(np.int32), [str(name) for name in labels.cat.categories]
    codes, names = pd.factorize(labels.astype("object"))
    return codes.astype(np.int32), [str(name) for name in names]


def rows_of(ids: pd.Series, wanted: pd.Series) -> NDArray[np.int64]:
    """Row of each wanted id among the unique ``ids``, −1 where it is none of them."""
    rows = np.full(len(wanted), -1, dtype=np.int64)
    if len(wanted):
        values = pa.array(wanted.astype("object"), type=pa.large_string())
        found = pa.compute.index_in(pa.array(ids.astype("str"), type=pa.large_string()), value_set=values)
        places = found.fill_null(-1).to_numpy()
        here = np.flatnonzero(places >= 0)
        rows[places[here]] = here
    return rows


def _has_suggestion(scores: pd.DataFrame) -> NDArray[np.bool_]:
    suggested = scores["suggested_pair" if "suggested_pair" in scores else "suggested_label"]
    return (suggested.notna() & (suggested != "")).to_numpy(dtype=bool)


def _smallest(sizes: NDArray[np.integer]) -> int:
    return int(sizes[sizes > 0].min()) if sizes.any() else 0


def _beyond(
    scores: pd.DataFrame,
    label: NDArray[np.int32],
    action: NDArray[np.int8],
    settled: NDArray[np.bool_],
    rule: CleaningRule,
    quotas: Callable[[NDArray[np.integer]], NDArray],
) -> NDArray[np.intp]:
    """Rows of the undecided samples beyond the quota of their class, which settled ones fill first.

    ``quotas`` gives how many of each class stay, from how many there are.
    """
    alive = action != DROPPED
    classes = int(label.max(initial=0)) + 1
    sizes, fixed = (np.bincount(label[rows], minlength=classes) for rows in (alive, alive & settled))
    room = np.maximum(quotas(sizes).astype(np.int64) - fixed, 0)
    lsi = scores["lsi"].to_numpy()
    order = np.argsort(lsi if rule.keep_end == "lowest" else -lsi, kind="stable")
    order = order[(alive & ~settled)[order]]
    # Sorting small integers is linear, and keeps the order of LSI within each class.
    by_class = order[np.argsort(label[order].astype(np.int16 if classes < 2**15 else np.int32), kind="stable")]
    grouped = label[by_class]
    start = np.cumsum(sizes - fixed) - (sizes - fixed)
    return by_class[np.arange(len(by_class)) - start[grouped] >= room[grouped]]


def _parts(
    scores: pd.DataFrame,
    final: NDArray[np.int32],
    names: list[str],
    rule: CleaningRule,
    duplicates: NDArray[np.integer] | None,
) -> NDArray[np.int8]:
    """The part of each kept sample, −1 for dropped ones; groups and near-duplicates are never torn apart."""
    rows = np.arange(len(scores))
    edges = [(rows, len(rows) + pd.factorize(duplicates)[0])] if duplicates is not None else []
    if "group" in scores:
        named = scores["group"].astype("object").fillna("").to_numpy()
        has = named != ""
        edges.append((rows[has], 2 * len(rows) + pd.factorize(named[has])[0]))
    cluster = rows
    if edges:
        start, end = (np.concatenate(side) for side in zip(*edges, strict=True))
        graph = scipy.sparse.coo_matrix((np.ones(len(start), bool), (start, end)), shape=(3 * len(rows),) * 2)
        cluster = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][: len(rows)]
    alphabetic = np.argsort(np.argsort(np.array(names, dtype=object)))
    alive = final >= 0
    parts = np.full(len(scores), -1, dtype=np.int8)
    parts[alive] = split(alphabetic[final[alive]], cluster[alive], (rule.validation, rule.test), rule.seed)
    return parts
