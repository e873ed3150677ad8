"""The training problem of a linear probe under any :class:`~lsi_engine.losses.objective.Objective`, and its optimum.

    L(Θ) = Σ_n ℓ(Θx̃_n, y_n) + (N · wd / 2) ‖Θ‖²,

N times the mean loss + (wd / 2) ‖Θ‖², as in :mod:`lsi_engine.losses.softmax`. The Hessian splits into independent
**blocks** of R outputs each: one block of all outputs (R = O), or O blocks of one (R = 1) where the loss has no mixed
second derivative. Weights ``(O, D')`` are read as ``(B, R·D')`` with B = O / R.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lsi_engine.errors import InputError, NotConverged
from lsi_engine.losses.objective import Objective
from lsi_engine.numerics.design import BLOCK_ROWS, Design
from lsi_engine.numerics.grams import WeightedGram
from lsi_engine.numerics.products import inverse
from lsi_engine.progress import Progress, silent

#: Elements of a block's largest temporary.
BLOCK_ELEMENTS = 1 << 24
MAXIMUM_NEWTON_STEPS = 100
#: A stalled fit counts as converged below this gradient norm, relative to a sample's own gradient.
ROUNDING = 1e-10


@dataclass(frozen=True)
class FittedObjective:
    """``theta (O, D')`` float64, ``gradient_norm`` ‖∇L‖ / N there, ``loss`` L / N, and the Newton steps taken."""

    theta: torch.Tensor
    gradient_norm: float
    loss: float
    newton_steps: int


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

    def row_blocks(self) -> Iterator[slice]:
        """Rows few enough that no temporary exceeds ``BLOCK_ELEMENTS``."""
        widest = max(self.outputs**2, self.distinct * self.size**2 * self.design.columns)
        return self.design.row_blocks(max(1, min(BLOCK_ROWS, BLOCK_ELEMENTS // widest)))

    def value_and_gradient(self, theta: torch.Tensor) -> tuple[float, torch.Tensor]:
        """L and ∇L ``(O, D')``."""
        value = theta.new_zeros(())
        gradient = self.ridge * theta
        for rows in self.row_blocks():
            x, y = self.design.block(rows, torch.float64), self.targets[rows]
            logits = x @ theta.T
            value += self.objective.values(logits, y).sum()
            gradient += self.objective.residual(logits, y).T @ x
        return float(value + self.ridge / 2 * theta.square().sum()), gradient

    def block_curvature(self, logits: torch.Tensor, rows: slice) -> torch.Tensor:
        """F ``(n, B, R, R)`` of the blocks."""
        return self._by_block(self.objective.curvature(logits, self.targets[rows]))

    def block_slope(self, logits: torch.Tensor, rows: slice) -> torch.Tensor:
        """∂F_oo/∂f_k ``(n, B, R, R)`` of the blocks."""
        return self._by_block(self.objective.curvature_slope(logits, self.targets[rows]))

    def _by_block(self, square: torch.Tensor) -> torch.Tensor:
        return square[:, None] if self.blocks == 1 else square.diagonal(dim1=1, dim2=2)[:, :, None, None]

    def hessian(self, theta: torch.Tensor, *, progress: Progress = silent) -> torch.Tensor:
        """Σ_n JᵀFJ without the penalty, ``(distinct, R·D', R·D')``: the blocks that differ."""
        columns, size = self.design.columns, self.size
        grams = [WeightedGram(size, columns, dtype=torch.float64, device=theta.device) for _ in range(self.distinct)]
        for rows in self.row_blocks():
            x = self.design.block(rows, torch.float64)
            curvature = self.block_curvature(x @ theta.T, rows)
            for k, gram in enumerate(grams):
                gram.add(x, curvature[:, k])
            progress("hessian", rows.stop, self.samples)
        return torch.stack([gram.matrix() for gram in grams])

    def block_inverses(self, blocks: torch.Tensor, added: float, what: str) -> torch.Tensor:
        """(blocks + added · I)⁻¹. Raises ``InputError`` where that is not positive definite."""
        inverses = torch.empty_like(blocks)
        for k, block in enumerate(blocks):
            shifted = block.clone()
            shifted.diagonal().add_(added)
            inverses[k] = inverse(shifted, lambda: what)
        return inverses

    def fit(
        self, *, tolerance: float = 1e-12, start: torch.Tensor | None = None, progress: Progress = silent
    ) -> FittedObjective:
        """Newton's method with halved steps, until ‖∇L‖ / N ≤ ``tolerance`` · (1 + rms row norm of X̃).

        Raises
        ------
        NotConverged
            When no step lowers the loss any further and the gradient is still above the tolerance.
        InputError
            When the loss is not convex.
        """
        design = self.design
        shape = (self.outputs, design.columns)
        theta = torch.zeros(shape, dtype=torch.float64, device=design.device) if start is None else start.clone()
        unit = 1 + self._rms_row_norm()
        value, gradient = self.value_and_gradient(theta)
        for steps in range(MAXIMUM_NEWTON_STEPS):
            norm = float(gradient.norm()) / self.samples
            if norm <= tolerance * unit:
                return FittedObjective(theta, norm, value / self.samples, steps)
            progress("fit", steps, MAXIMUM_NEWTON_STEPS)
            inverses = self.block_inverses(self.hessian(theta, progress=progress), self.ridge, "the fit's Hessian")
            step = -(inverses @ gradient.view(self.blocks, -1, 1)).view(shape)
            moved = self._line_search(theta, value, gradient, step)
            if moved is None:
                # Where double precision itself ends, a tighter tolerance cannot be met and need not be.
                if norm <= ROUNDING * unit:
                    return FittedObjective(theta, norm, value / self.samples, steps)
                break
            theta, value, gradient = moved
        norm = float(gradient.norm()) / self.samples
        raise NotConverged(
            f"the {self.objective.name} probe's fit stopped at gradient norm {norm:.2e}, above {tolerance * unit:.2e}: "
            "standardise the features (feature_scaling='standardize') or raise weight_decay"
        )

    def _line_search(
        self, theta: torch.Tensor, value: float, gradient: torch.Tensor, step: torch.Tensor
    ) -> tuple[torch.Tensor, float, torch.Tensor] | None:
        slope = float((gradient * step).sum())
        for halvings in range(40):
            length = 0.5**halvings
            candidate = theta + length * step
            new_value, new_gradient = self.value_and_gradient(candidate)
            lower = new_value <= value + 1e-4 * length * slope
            # Near the optimum the loss stops resolving progress before the gradient does.
            flat = new_value <= value + 1e-13 * abs(value) and float(new_gradient.norm()) < float(gradient.norm())
            if (lower and new_value < value) or flat:
                return candidate, new_value, new_gradient
        return None

    def _rms_row_norm(self) -> float:
        squares = sum(float(self.design.block(rows, torch.float64).square().sum()) for rows in self.row_blocks())
        return (squares / self.samples) ** 0.5


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
