"""The training problem of a linear probe under any :class:`~lsi_engine.losses.objective.Objective`.

With X̃ = [x, 1] (``D' = D + 1`` columns, bias last), weights Θ of shape ``(O, D')`` and logits f = X̃ Θᵀ, the probe
minimises, in **sum** form,

    L(Θ) = Σ_n ℓ(f_n, y_n) + (N · wd / 2) ‖Θ‖²,

which is N times the paper's **mean** loss + (wd / 2) ‖Θ‖². The bias is decayed like every other weight, as in the
paper's reference code (SGD's own weight decay). Gradients and Hessians below are of the sum form; the *gradient norm*
that runs report is ‖∇L‖ / N, the mean form's.

The Hessian splits into independent **blocks** of R outputs each: one block of all outputs (R = O), or O blocks of one
(R = 1) where the loss has no mixed second derivative. Weights ``(O, D')`` are read as ``(B, R·D')`` with B = O / R.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lsi_engine.errors import InputError
from lsi_engine.losses.objective import Objective
from lsi_engine.losses.registry import resolve
from lsi_engine.numerics.design import BLOCK_ROWS, PASS_ROWS, Design
from lsi_engine.numerics.grams import streamed_grams
from lsi_engine.numerics.memory import require_memory
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import inverse, product
from lsi_engine.progress import Progress, silent

#: Elements of a block's largest temporary.
BLOCK_ELEMENTS = 1 << 24


class LinearObjective:
    """L and its derivatives over one dataset, streamed over rows in float64.

    Parameters
    ----------
    design
        X̃ ``(N, D')``.
    targets
        Encoded by the objective.
    weight_decay
        wd of the mean form, positive.
    """

    def __init__(self, design: Design, objective: Objective, targets: torch.Tensor, weight_decay: float) -> None:
        self.design, self.objective = design, objective
        self.targets = targets.to(design.device)
        self.weight_decay = weight_decay
        self.outputs = objective.outputs(targets)
        dense = objective.structure == "dense"
        #: blocks B, outputs a block R, and blocks that differ in their Hessian
        self.blocks, self.size = (1, self.outputs) if dense else (self.outputs, 1)
        self.distinct = 1 if objective.structure == "identical" else self.blocks

    @property
    def samples(self) -> int:
        return self.design.rows

    @property
    def ridge(self) -> float:
        """N · wd."""
        return self.samples * self.weight_decay

    @property
    def block_rows(self) -> int:
        """Rows few enough that no temporary exceeds ``BLOCK_ELEMENTS``."""
        widest = max(self.outputs**2, self.distinct * self.size**2 * self.design.columns)
        return max(1, min(BLOCK_ROWS, BLOCK_ELEMENTS // widest))

    def row_blocks(self) -> Iterator[slice]:
        return self.design.row_blocks(self.block_rows)

    def value_and_gradient(self, theta: torch.Tensor) -> tuple[float, torch.Tensor]:
        """L and ∇L ``(O, D')`` at Θ ``(O, D')``, in float64."""

        def part(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.design.block(rows, torch.float64)
            value, residual = self.objective.value_and_residual(product(x, theta.T), self.targets[rows])
            return value, product(residual.T, x)

        value = self.ridge / 2 * theta.square().sum()
        gradient = self.ridge * theta
        for loss, slope in in_parallel(part, self.design.row_blocks(PASS_ROWS), theta.device):
            value += loss
            gradient += slope
        return float(value), gradient

    def block_curvature(self, logits: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """F ``(n, B, R, R)`` of the blocks."""
        return self._by_block(self.objective.curvature(logits, self.targets[rows]))

    def block_slope(self, logits: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
        """∂F_oo/∂f_k ``(n, B, R, R)`` of the blocks."""
        return self._by_block(self.objective.curvature_slope(logits, self.targets[rows]))

    def _by_block(self, square: torch.Tensor) -> torch.Tensor:
        return square[:, None] if self.blocks == 1 else square.diagonal(dim1=1, dim2=2)[:, :, None, None]

    def hessian(self, theta: torch.Tensor, *, progress: Progress = silent) -> torch.Tensor:
        """Σ_n JᵀFJ without the penalty, ``(distinct, R·D', R·D')``: the blocks that differ."""

        def weights(rows: slice | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self.block_curvature(x @ theta.T, rows)

        grams = streamed_grams(
            self.design,
            weights,
            (self.distinct, self.size),
            dtype=torch.float64,
            rows=self.block_rows,
            report=lambda done: progress("hessian", done, self.samples),
        )
        return torch.stack(grams)

    def block_inverses(self, blocks: torch.Tensor, added: float, what: str) -> torch.Tensor:
        """(blocks + added · I)⁻¹. Raises ``InputError`` where that is not positive definite."""
        inverses = torch.empty_like(blocks)
        for k, block in enumerate(blocks):
            shifted = block.clone()
            shifted.diagonal().add_(added)
            inverses[k] = inverse(shifted, lambda: what)
        return inverses


def linear_objective(design: Design, targets: Any, objective: str | Objective, weight_decay: float) -> LinearObjective:
    """The problem of a caller's targets. Raises ``InputError`` for what is wrong, or a Hessian that cannot fit."""
    if not (np.isfinite(weight_decay) and weight_decay > 0):
        raise InputError(f"weight_decay is {weight_decay}; the optimum needs a positive, finite one (paper: 0.01)")
    loss = resolve(objective, targets)
    encoded = loss.encode(targets, design.rows)
    loss.check(encoded)
    problem = LinearObjective(design, loss, encoded, weight_decay)
    unknowns = problem.size * design.columns
    require_memory(
        8.0 * problem.distinct * unknowns**2 * 5,
        design.device,
        f"the Hessian has {problem.distinct:,} blocks of {unknowns:,} × {unknowns:,}",
        "Reduce the features' dimension (for example by PCA) or score fewer outputs at a time",
    )
    return problem


def curvature_root(curvature: torch.Tensor, first_row: int, name: str) -> torch.Tensor:
    """F^½ ``(…, R, R)``, symmetric, of F ``(n, B, R, R)``.

    Raises ``InputError`` naming the row whose F has a negative eigenvalue: the loss is then not convex.
    """
    values, vectors = torch.linalg.eigh(curvature)
    negative = (values < -1e-9 * values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-300)).flatten(1).any(dim=1)
    # What rounding leaves of a zero is relative to the largest curvature that there can be, not to the row's own.
    negative &= values.flatten(1).amin(dim=1) < -1e-14
    if bool(negative.any()):
        row = first_row + int(negative.nonzero()[0])
        lowest = float(values.flatten(1).amin(dim=1)[row - first_row])
        raise InputError(
            f"objective {name!r} is not convex at row {row}: its curvature has the eigenvalue {lowest:.3g}; "
            "leave-one-out needs a loss that is convex in its logits"
        )
    return (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT
