"""Weighted Gram matrices Σ_n W_n ⊗ x̃_n x̃_nᵀ, and forms in such matrices, as streamed matrix products.

With W_n ``(R, R)`` symmetric the sum has R block rows of D' columns each; block (a, b) is X̃ᵀ diag(w_ab) X̃, so only
a ≤ b is computed, and of each block, itself symmetric, only the panels on and above its diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.numerics.design import Design
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import product

#: Columns a panel. Smaller panels skip more of the symmetric half, larger ones multiply faster.
PANEL = 96
#: Rows, and columns of several pairs' panels side by side, that are multiplied at once: large enough for full speed.
GRAM_ROWS = 4096
TILE_COLUMNS = 512


def _pairs(size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = torch.triu_indices(size, size, device=device)
    return rows, columns


def _panels(columns: int) -> Iterator[slice]:
    for start in range(0, columns, PANEL):
        yield slice(start, min(start + PANEL, columns))


def _chunks(pairs: int, columns: int) -> Iterator[slice]:
    """Pairs whose panels are multiplied together."""
    together = max(1, TILE_COLUMNS // min(PANEL, columns))
    for start in range(0, pairs, together):
        yield slice(start, min(start + together, pairs))


class WeightedGram:
    """Σ_n W_n ⊗ x̃_n x̃_nᵀ for symmetric W_n ``(R, R)`` of any sign, collected over blocks of rows.

    ``dtype`` is that of the products inside a block of rows; blocks are always summed in float64.
    """

    def __init__(self, size: int, columns: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.size, self.columns, self.dtype = size, columns, dtype
        self._first, self._second = _pairs(size, device)
        # One block a pair, filled on and above the diagonal of its panels.
        self._blocks = torch.zeros(len(self._first), columns, columns, dtype=torch.float64, device=device)

    def add(self, x: torch.Tensor, weights: torch.Tensor) -> None:
        """Add rows x̃ ``(n, D')`` with their weights ``(n, R, R)``."""
        x = x.to(self.dtype)
        weight = weights[:, self._first, self._second].T.to(self.dtype).contiguous()  # (pairs, n)
        transposed = x.T.contiguous()

        def collect(part: tuple[slice, slice]) -> None:
            panel, chunk = part
            weighted = (weight[chunk, None] * transposed[panel]).flatten(0, 1)
            summed = product(weighted, x[:, panel.start :])
            self._blocks[chunk, panel, panel.start :] += summed.view(-1, panel.stop - panel.start, summed.shape[1])

        # The largest parts first.
        parts = [(panel, chunk) for panel in _panels(self.columns) for chunk in _chunks(len(weight), self.columns)]
        for _ in in_parallel(collect, parts, x.device):
            pass

    def matrix(self) -> torch.Tensor:
        """The sum so far, ``(R·D', R·D')`` float64."""
        size, columns, blocks = self.size, self.columns, self._blocks
        for panel in _panels(columns):
            blocks[:, panel.stop :, panel] = blocks[:, panel, panel.stop :].transpose(1, 2)
        matrix = blocks.new_empty(size, columns, size, columns)
        for k, (a, b) in enumerate(zip(self._first.tolist(), self._second.tolist(), strict=True)):
            matrix[a, :, b] = blocks[k]
            matrix[b, :, a] = blocks[k]  # a block is symmetric, so its mirror image is itself
        return matrix.view(size * columns, size * columns)


def streamed_grams(
    design: Design,
    weights: Callable[[slice | torch.Tensor, torch.Tensor], torch.Tensor],
    shape: tuple[int, int],
    *,
    dtype: torch.dtype,
    index: NDArray[np.int64] | None = None,
    rows: int = GRAM_ROWS,
    report: Callable[[int], None] = lambda done: None,
) -> list[torch.Tensor]:
    """Σ_n W_nb ⊗ x̃_n x̃_nᵀ, ``(R·D', R·D')`` float64, for each b.

    Parameters
    ----------
    weights
        From rows of the design, and their X̃ ``(n, D')`` in ``dtype``, to W ``(n, B, R, R)``, symmetric.
    shape
        (B, R).
    dtype
        Of the products inside a block of rows.
    index
        Rows to sum over; all when ``None``.
    rows
        Rows of a block.
    report
        Is told how many rows are done.
    """
    count, size = shape
    grams = [WeightedGram(size, design.columns, dtype=dtype, device=design.device) for _ in range(count)]
    for part, chosen in design.selected(index, rows):
        x = design.block(chosen, dtype)
        weight = weights(chosen, x)
        for b, gram in enumerate(grams):
            gram.add(x, weight[:, b])
        report(part.stop)
    return [gram.matrix() for gram in grams]


class QuadraticForms:
    """``x ↦ J B Jᵀ`` with J = I_R ⊗ x̃ᵀ for a symmetric B ``(R·D', R·D')``, for many rows at once.

    Element (a, b) of the result is x̃ᵀ B_ab x̃, in which only the symmetric part of the block B_ab counts. Each block
    is folded once onto its panels on and above the diagonal; a row then costs R(R + 1)/2 · D'² (1 + 1/panels) flop.
    """

    def __init__(self, matrix: torch.Tensor, size: int, dtype: torch.dtype) -> None:
        columns = matrix.shape[0] // size
        self.size, self.columns, self.dtype = size, columns, dtype
        first, second = _pairs(size, matrix.device)
        blocks = matrix.view(size, columns, size, columns).permute(0, 2, 1, 3)
        #: of each chunk of pairs, one matrix a panel: (columns from the panel's start, pairs · panel width)
        self.folded: list[list[torch.Tensor]] = []
        for chunk in _chunks(len(first), columns):
            chosen = blocks[first[chunk], second[chunk]]
            self.folded.append([_folded(chosen, panel).to(dtype).contiguous() for panel in _panels(columns)])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, R, R)`` float64 forms for rows x̃ ``(n, D')`` of the products' own dtype."""
        first, second = _pairs(self.size, x.device)
        values = torch.empty(len(x), len(first), dtype=torch.float64, device=x.device)
        for chunk, folded in zip(_chunks(len(first), self.columns), self.folded, strict=True):
            total = values.new_zeros(len(x), chunk.stop - chunk.start)
            for panel, part in zip(_panels(self.columns), folded, strict=True):
                projected = product(x[:, panel.start :], part).view(*total.shape, -1)
                total += projected.mul_(x[:, None, panel]).sum(dim=2)
            values[:, chunk] = total
        forms = values.new_empty(len(x), self.size, self.size)
        forms[:, first, second] = values
        forms[:, second, first] = values
        return forms


def _folded(blocks: torch.Tensor, panel: slice) -> torch.Tensor:
    """The panel's columns of ``(pairs, D', D')`` blocks, what lies below its diagonal doubled by the mirror image."""
    tail = slice(panel.stop, blocks.shape[1])
    below = blocks[:, tail, panel] + blocks[:, panel, tail].transpose(1, 2)
    stacked = torch.cat([blocks[:, panel, panel], below], dim=1)  # (pairs, columns − start, width)
    return stacked.permute(1, 0, 2).flatten(1)
