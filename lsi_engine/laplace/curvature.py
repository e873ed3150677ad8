"""The generalised Gauss–Newton matrix of the linear softmax probe, and forms in it, as streamed matrix products.

For a linear softmax probe the GGN *is* the Hessian of the summed cross-entropy: A = Σ_n J_nᵀ F_n J_n with
F_n = diag(p_n) − p_n p_nᵀ. In the C − 1 contrasts (see :mod:`lsi_engine.probes.softmax`) it has
R = C − 1 block rows of D' columns each; block (a, b) is X̃ᵀ diag(w_ab) X̃, so only a ≤ b is computed, and of each
block, itself symmetric, only the panels on and above its diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from lsi_engine.probes.design import BLOCK_ROWS, Design
from lsi_engine.progress import Progress, silent

#: Columns a panel. Smaller panels skip more of the symmetric half, larger ones multiply faster.
PANEL = 128


def class_covariance(probabilities: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Qᵀ F_n Q ``(n, R, R)`` for class probabilities ``(n, C)`` and contrasts Q ``(C, R)``."""
    mean = probabilities @ basis
    return torch.einsum("nc,ca,cb->nab", probabilities, basis, basis) - mean[:, :, None] * mean[:, None, :]


def _pairs(size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = torch.triu_indices(size, size, device=device)
    return rows, columns


def _panels(columns: int) -> Iterator[slice]:
    for start in range(0, columns, PANEL):
        yield slice(start, min(start + PANEL, columns))


def ggn(
    design: Design,
    probabilities: torch.Tensor,
    basis: torch.Tensor,
    *,
    dtype: torch.dtype,
    rows: torch.Tensor | None = None,
    progress: Progress = silent,
    stage: str = "hessian",
) -> torch.Tensor:
    """A in the contrasts, ``(R·D', R·D')`` float64, without any prior.

    Parameters
    ----------
    probabilities
        ``(N, C)`` at the point where the curvature is taken.
    dtype
        Of the products inside a block of rows; blocks are always accumulated in float64.
    rows
        Row indices to sum over; all rows when ``None``.
    """
    size, columns = basis.shape[1], design.columns
    first, second = _pairs(size, basis.device)
    pairs = len(first)
    # Indexed [pair, row of X̃'s panel.., column]: filled on and above the panel diagonal.
    blocks = torch.zeros(pairs, columns, columns, dtype=torch.float64, device=basis.device)
    total = design.rows if rows is None else len(rows)
    for start in range(0, total, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, total)
        if rows is None:
            x, p = design.block(slice(start, stop), dtype), probabilities[start:stop]
        else:
            picked = rows[start:stop]
            x, p = design.rows_at(picked.cpu().numpy(), dtype), probabilities[picked]
        weight = class_covariance(p.to(torch.float64), basis)[:, first, second].to(dtype)  # (n, pairs)
        for panel in _panels(columns):
            weighted = (weight[:, :, None] * x[:, None, panel]).reshape(len(x), -1)  # (n, pairs · panel)
            product = weighted.T @ x[:, panel.start :]
            blocks[:, panel, panel.start :] += product.view(pairs, panel.stop - panel.start, -1)
        progress(stage, stop, total)
    return _assemble(blocks, size, columns)


def _assemble(blocks: torch.Tensor, size: int, columns: int) -> torch.Tensor:
    """Mirror the computed panels of each block, then the blocks themselves, into one symmetric matrix."""
    for panel in _panels(columns):
        blocks[:, panel.stop :, panel] = blocks[:, panel, panel.stop :].transpose(1, 2)
    matrix = blocks.new_empty(size, columns, size, columns)
    first, second = _pairs(size, blocks.device)
    for k, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        matrix[a, :, b] = blocks[k]
        matrix[b, :, a] = blocks[k]  # a block is symmetric, so its mirror image is itself
    return matrix.view(size * columns, size * columns)


class QuadraticForms:
    """``x ↦ J B Jᵀ`` with J = I_R ⊗ x̃ᵀ for a symmetric B ``(R·D', R·D')``, for many rows at once.

    Element (a, b) of the result is x̃ᵀ B_ab x̃, in which only the symmetric part of the block B_ab counts. Each block
    is folded once onto its panels on and above the diagonal; a row then costs R(R + 1)/2 · D'² (1 + 1/panels) flop.
    """

    def __init__(self, matrix: torch.Tensor, size: int, dtype: torch.dtype) -> None:
        columns = matrix.shape[0] // size
        self.size, self.columns = size, columns
        first, second = _pairs(size, matrix.device)
        blocks = matrix.view(size, columns, size, columns).permute(0, 2, 1, 3)
        #: one matrix a panel: (columns from the panel's start, pairs · panel width)
        self.folded: list[torch.Tensor] = []
        for panel in _panels(columns):
            tail = slice(panel.stop, columns)
            inside = blocks[first, second, panel, panel]
            below = blocks[first, second, tail, panel] + blocks[first, second, panel, tail].transpose(1, 2)
            stacked = torch.cat([inside, below], dim=1)  # (pairs, columns − start, width)
            self.folded.append(stacked.permute(1, 0, 2).reshape(columns - panel.start, -1).to(dtype).contiguous())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, R, R)`` float64 forms for rows x̃ ``(n, D')`` of the products' own dtype."""
        first, second = _pairs(self.size, x.device)
        values = torch.zeros(len(x), len(first), dtype=torch.float64, device=x.device)
        for panel, folded in zip(_panels(self.columns), self.folded, strict=True):
            projected = (x[:, panel.start :] @ folded).view(len(x), len(first), -1)
            values += torch.bmm(projected, x[:, panel, None])[:, :, 0]
        forms = values.new_empty(len(x), self.size, self.size)
        forms[:, first, second] = values
        forms[:, second, first] = values
        return forms


def ggn_diagonal(design: Design, probabilities: torch.Tensor) -> torch.Tensor:
    """Diagonal of Σ_n J_nᵀ F_n J_n in the C classes (not the contrasts): ``(C, D')`` float64."""
    out = torch.zeros(probabilities.shape[1], design.columns, dtype=torch.float64, device=design.device)
    for rows in design.row_blocks(8192):
        p = probabilities[rows]
        out += (p * (1 - p)).T @ design.block(rows, torch.float64).square()
    return out


def inverse(matrix: torch.Tensor, describe: Callable[[], str]) -> torch.Tensor:
    """Inverse of a symmetric positive definite float64 matrix, by Cholesky.

    Raises ``InputError`` with ``describe()`` when the matrix is not numerically positive definite.
    """
    from lsi_engine.errors import InputError

    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        raise InputError(f"{describe()} is not positive definite; raise weight_decay or prior_precision")
    # Measured at K = 5130: a triangular solve and one product beat torch.cholesky_inverse by a wide margin.
    root = torch.linalg.solve_triangular(
        factor, torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device), upper=False
    )
    return root.T @ root
