"""Near-duplicates: samples so close in feature space that each vouches for the other's label."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.inputs import check_features
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.progress import Progress, silent

#: Rows of a block of distances; 1024 × 8192 float32 are 32 MB.
BLOCK = 1024
#: Largest rounding of a float32 product of two rows, as a share of the longest row's square.
ROUNDING = 1e-5


def near_duplicate_groups(
    features: ArrayLike | torch.Tensor, *, tolerance: float = 0.2, progress: Progress = silent
) -> NDArray[np.int64]:
    """Group near-duplicates: samples connected by a chain of pairs closer than ``tolerance``.

    Parameters
    ----------
    features
        ``(N, D)``; standardised here, whatever the run's own scaling, so that one tolerance fits all data.
    tolerance
        Largest distance of a pair, as a share of the typical distance √(2D) of two unrelated samples. 0 finds exact
        copies only (to float32 rounding); 0.2 finds re-encoded and slightly cropped images.

    Returns
    -------
    ``(N,)`` int64 group of each sample, numbered 0, 1, … by first occurrence; a sample without a duplicate is a group
    of its own. Costs 2·N²·D/2 flop, N²-free in memory.
    """
    checked = check_features(features)
    design = Design(checked, FeatureScaling.standardize(checked))
    # Distances between float32 rows carry a rounding of about 1e-3 of the rows' own size squared.
    limit = (max(tolerance, 3e-3) ** 2) * 2 * design.dimension
    norms = torch.empty(design.rows, dtype=torch.float64)
    for rows in design.row_blocks():
        norms[rows] = design.block(rows, torch.float64)[:, :-1].square().sum(dim=1)
    # ‖a − b‖² ≤ limit where a·b − ‖b‖²/2 ≥ (‖a‖² − limit)/2: one float32 product, less what its rounding can hide.
    half = (norms / 2).to(torch.float32)
    least = half - limit / 2 - ROUNDING * half.max()
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    for rows in design.row_blocks(BLOCK):
        here = design.block(rows, torch.float32)[:, :-1]
        # A pair is looked at once, from its earlier row.
        for start in range(rows.start, design.rows, 8 * BLOCK):
            others = slice(start, min(start + 8 * BLOCK, design.rows))
            there = design.block(others, torch.float32)[:, :-1]
            products = (here @ there.T).sub_(half[None, others])
            first, second = torch.nonzero(products >= least[rows, None], as_tuple=True)
            later = second + start > first + rows.start
            for some in later.nonzero()[:, 0].split(BLOCK):
                a, b = first[some], second[some]
                near = (here[a].double() - there[b].double()).square_().sum(dim=1) <= limit
                left.append((a[near] + rows.start).numpy())
                right.append((b[near] + start).numpy())
            progress("duplicates", rows.start, design.rows)
        progress("duplicates", rows.stop, design.rows)
    ends = tuple(np.concatenate(side or [np.zeros(0, np.int64)]) for side in (left, right))
    graph = scipy.sparse.coo_matrix((np.ones(len(ends[0]), bool), ends), shape=(design.rows, design.rows))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    _, first_row, group = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_row))[group].astype(np.int64)
