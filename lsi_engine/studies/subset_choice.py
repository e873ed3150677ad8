"""Which samples a subset holds: held-out parts, thirds by LSI, and what a pruning rule keeps; class by class.

A rule is named for what it drops first. Whatever ranks, ties keep the samples' order.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lsi_engine.errors import InputError

THIRDS = ("low", "mid", "high")
#: Rule: the score that ranks, and whether its highest values are dropped first (else its lowest). ``random`` ranks by
#: numbers drawn for the repeat.
RULES: Mapping[str, tuple[str, bool]] = {
    "highest_lsi": ("lsi", True),
    "lowest_lsi": ("lsi", False),
    "highest_suspicion": ("suspicion", True),
    "lowest_leverage": ("leverage", False),
    "highest_margin": ("margin", True),
    "random": ("random", True),
}
#: Shares of each class that the rules keep.
SHARES = (0.9, 0.75, 0.5, 0.25, 0.1)


def by_class(codes: NDArray[np.integer], ranking: NDArray[np.floating]) -> list[NDArray[np.intp]]:
    """Rows of each class from the lowest ``ranking (N,)`` to the highest; classes are 0 … max(``codes``)."""
    order = np.lexsort((ranking, codes))
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def thirds(codes: NDArray[np.integer], lsi: NDArray[np.floating]) -> dict[str, NDArray[np.intp]]:
    """The third of each class with the lowest, the middle and the highest LSI: disjoint, together all rows.

    Thirds of one class differ by one sample at most. Rows are ascending. (Paper, section 4.3: stratified subsets.)
    """
    parts = [np.array_split(rows, 3) for rows in by_class(codes, lsi)]
    return {name: np.sort(np.concatenate([part[place] for part in parts])) for place, name in enumerate(THIRDS)}


def kept(
    codes: NDArray[np.integer], ranking: NDArray[np.floating], share: float, *, highest_first: bool
) -> NDArray[np.intp]:
    """The rows left, ascending, when ``share`` of each class is kept (rounded up) and one end of ``ranking`` goes."""
    ordered = by_class(codes, ranking if highest_first else -ranking)
    # 0.1 · 30 is a little more than 3 in floating point, and would be rounded up to 4.
    return np.sort(np.concatenate([rows[: int(np.ceil(round(share * len(rows), 9)))] for rows in ordered]))


def drawn(codes: NDArray[np.integer], most: int, seed: int) -> NDArray[np.intp]:
    """About ``most`` rows, ascending: the same share of each class, at random, rounded up; all where there are no more.

    A class of which that share is less than three samples gives up to three.
    """
    if len(codes) <= most:
        return np.arange(len(codes))
    random, share = np.random.default_rng(seed), most / len(codes)
    picked = []
    for rows in by_class(codes, np.zeros(len(codes))):
        count = min(len(rows), max(3, int(np.ceil(share * len(rows)))))
        picked.append(random.choice(rows, size=count, replace=False))
    return np.sort(np.concatenate(picked))


def parts(
    codes: NDArray[np.integer], groups: NDArray[np.integer] | None, held_out: float, repeat: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to train on and rows held out, stratified by class, no group in both.

    The data fall into round(1 / ``held_out``) folds and each repeat holds out the next one, so that held-out parts are
    disjoint until all folds have been used; then they are shuffled anew.

    Raises ``InputError`` when there are fewer groups, or fewer samples of every class, than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if not 0 < held_out <= 0.5:
        raise InputError(f"held_out is {held_out}: hold out more than nothing and at most half, for example 0.2")
    folds = round(1 / held_out)
    if groups is not None and len(np.unique(groups)) < folds:
        raise InputError(f"the samples come from fewer than {folds} groups: hold out a larger share")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    method = kind(folds, shuffle=True, random_state=seed + repeat // folds)
    with warnings.catch_warnings():
        # A class smaller than the number of folds is looked after by the caller.
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = list(method.split(codes, codes, groups))
        except ValueError as error:
            raise InputError(f"no class has {folds} samples, so {held_out:.0%} cannot be held out") from error
    return found[repeat % folds]
