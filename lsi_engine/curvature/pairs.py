"""The generalised Gauss–Newton matrix of the contrastive loss over both heads, summed over pairs.

The loss is convex in the similarities S, so its curvature in them is taken whole and S is linearised in the weights:

    GGN = ½ Σ_i Cov_{j ~ p_i}(J_ij) + ½ Σ_j Cov_{i ~ q_j}(J_ij),    J_ij = ∂S_ij/∂(A, B) = (a_ij ⊗ x̃_i, b_ij ⊗ ṽ_j),

p_i what image i chooses among the texts, q_j what text j chooses among the images. A pair that is left out is in no
row and in no column. No prior is included.
"""

from __future__ import annotations

from typing import Literal

import torch

from lsi_engine.losses.contrastive import ContrastiveLoss

#: Elements of a block of Jacobians.
BLOCK_ELEMENTS = 1 << 24


def contrastive_ggn(
    loss: ContrastiveLoss,
    x: torch.Tensor,
    v: torch.Tensor,
    heads: tuple[torch.Tensor, torch.Tensor],
    absent: torch.Tensor,
    structure: Literal["diag", "full"],
) -> torch.Tensor:
    """``(K,)`` or ``(K, K)``, K = d(D_image + D_text + 2): A row by row, then B row by row.

    Parameters
    ----------
    x, v
        ``(n, D + 1)`` images and texts.
    heads
        A ``(d, D_image + 1)`` and B ``(d, D_text + 1)`` of one model.
    absent
        ``(n, n)`` bool, as in :meth:`ContrastiveLoss.choices`.
    """
    z, w = x @ heads[0].T, v @ heads[1].T
    _, by_image, by_text = (part[0] for part in loss.choices(z[None], w[None], absent[None]))
    if structure == "full":
        return _full(loss, x, v, z, w, by_image, by_text)
    # The texts' share is the images' with the two kinds exchanged.
    image = _diagonal(loss, x, z, w, by_image, by_text)
    text = _diagonal(loss, v, w, z, by_text.T, by_image.T)
    return torch.cat([image.flatten(), text.flatten()]) / 2


def _diagonal(
    loss: ContrastiveLoss,
    x: torch.Tensor,
    z: torch.Tensor,
    w: torch.Tensor,
    own: torch.Tensor,
    other: torch.Tensor,
) -> torch.Tensor:
    """Twice the diagonal for the head of ``x``, ``(d, D + 1)``: choices of its own kind, then of the other kind."""
    squared = x.square()
    total = z.new_zeros(z.shape[1], x.shape[1])
    step = max(1, BLOCK_ELEMENTS // (z.shape[1] * max(len(z), x.shape[1])))
    for rows in torch.arange(len(z), device=z.device).split(step):
        # Its own choices: x̃_i is common to row i.
        a = loss.entry_jacobians(z[rows], w)[0]
        p = own[rows, :, None]
        variance = (p * a.square()).sum(dim=1) - (p * a).sum(dim=1).square()
        total += variance.T @ squared[rows]
    for columns in torch.arange(len(w), device=z.device).split(step):
        # Choices of the other kind: each column is a mixture of the x̃_i.
        a = loss.entry_jacobians(z, w[columns])[0]
        q = other[:, columns, None]
        total += (q * a.square()).sum(dim=1).T @ squared
        total -= torch.einsum("ijk,id->jkd", q * a, x).square().sum(dim=0)
    return total


def _full(
    loss: ContrastiveLoss,
    x: torch.Tensor,
    v: torch.Tensor,
    z: torch.Tensor,
    w: torch.Tensor,
    by_image: torch.Tensor,
    by_text: torch.Tensor,
) -> torch.Tensor:
    count, d = z.shape
    columns = d * (x.shape[1] + v.shape[1])
    total = z.new_zeros(columns, columns)

    def jacobian(rows: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
        in_z, in_w = loss.entry_jacobians(z[rows], w[across])
        image = (in_z[..., None] * x[rows][:, None, None, :]).flatten(2)
        text = (in_w[..., None] * v[across][None, :, None, :]).flatten(2)
        return torch.cat([image, text], dim=2)  # (rows, across, K)

    everything = torch.arange(count, device=z.device)
    for block in everything.split(max(1, BLOCK_ELEMENTS // (count * columns))):
        for j, p in (
            (jacobian(block, everything), by_image[block]),
            (jacobian(everything, block).transpose(0, 1), by_text[:, block].T),
        ):
            mean = torch.einsum("ab,abk->ak", p, j)
            root = (p.sqrt()[:, :, None] * (j - mean[:, None])).flatten(0, 1)
            total += root.T @ root
    return total / 2
