"""Training, validation and test parts in which no group (patient, near-duplicate cluster) is in two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PARTS = ("train", "validation", "test")


def split(labels: NDArray, groups: NDArray[np.integer], shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """``(N,)`` places in ``PARTS``: each part gets about its share of every class, every group whole.

    Parameters
    ----------
    labels
        ``(N,)`` final labels, or numbers in the order of their names.
    groups
        ``(N,)`` group of each sample; a sample on its own is a group of one.
    shares
        Of validation and test; the rest is for training.
    seed
        Equal input and seed give equal parts.
    """
    codes, names = pd.factorize(labels, sort=True)
    cluster = pd.factorize(groups)[0]
    portions = np.array([1 - sum(shares), *shares])
    wanted = portions[:, None] * np.bincount(codes, minlength=len(names))[None]
    have = np.zeros_like(wanted)
    part = np.zeros(len(labels), dtype=np.int64)
    random = np.random.default_rng(seed)
    sizes = np.bincount(cluster)
    members, ends = np.argsort(cluster, kind="stable"), np.cumsum(sizes)
    order = random.permutation(len(sizes))
    # The largest groups first: what is placed last can be chosen most freely, and singles fill what is missing.
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        if sizes[group] == 1:
            break
        rows = members[ends[group] - sizes[group] : ends[group]]
        counts = np.bincount(codes[rows], minlength=len(names))
        miss = wanted - have
        part[rows] = chosen = int(np.argmin(((miss - counts) ** 2 - miss**2).sum(axis=1)))
        have[chosen] += counts
    single = np.flatnonzero(sizes[cluster] == 1)
    for code in range(len(names)):
        rows = random.permutation(single[codes[single] == code])
        room = np.maximum(wanted[:, code] - have[:, code], 0)
        upto = np.cumsum(room / max(room.sum(), 1e-12) * len(rows)).round().astype(int)
        part[rows] = np.searchsorted(upto[:-1], np.arange(len(rows)), side="right")
    return part
