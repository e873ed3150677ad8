"""The generalised Gauss–Newton matrix of a linear softmax probe, which *is* the Hessian of its summed cross-entropy.

A = Σ_n J_nᵀ F_n J_n with F_n = diag(p_n) − p_n p_nᵀ, in the C − 1 contrasts of :mod:`lsi_engine.losses.softmax`, or its
diagonal in the C classes.
"""

from __future__ import annotations

import torch

from lsi_engine.losses.softmax import class_covariance
from lsi_engine.numerics.design import Design
from lsi_engine.numerics.grams import streamed_grams
from lsi_engine.progress import Progress, silent


def ggn(
    design: Design,
    probabilities: torch.Tensor,
    basis: torch.Tensor,
    *,
    dtype: torch.dtype,
    rows: torch.Tensor | None = None,
    progress: Progress = silent,
) -> torch.Tensor:
    """A in the contrasts, ``(R·D', R·D')`` float64, without any prior.

    Parameters
    ----------
    probabilities
        ``(N, C)`` at the point where the curvature is taken.
    basis
        Contrasts Q ``(C, R)``.
    dtype
        Of the products inside a block of rows.
    rows
        Row indices to sum over; all rows when ``None``.
    """
    total = design.rows if rows is None else len(rows)

    def weights(chosen: slice | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return class_covariance(probabilities[chosen].to(torch.float64), basis)[:, None]

    (matrix,) = streamed_grams(
        design,
        weights,
        (1, basis.shape[1]),
        dtype=dtype,
        index=None if rows is None else rows.cpu().numpy(),
        report=lambda done: progress("hessian", done, total),
    )
    return matrix


def ggn_diagonal(design: Design, probabilities: torch.Tensor) -> torch.Tensor:
    """Diagonal of Σ_n J_nᵀ F_n J_n in the C classes (not the contrasts): ``(C, D')`` float64."""
    out = torch.zeros(probabilities.shape[1], design.columns, dtype=torch.float64, device=design.device)
    for rows in design.row_blocks(8192):
        p = probabilities[rows]
        out += (p * (1 - p)).T @ design.block(rows, torch.float64).square()
    return out
