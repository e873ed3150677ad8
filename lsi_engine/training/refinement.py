"""The true residual of a left-out sample's shift, and steps against it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lsi_engine.curvature.class_blocks import ClassBlocks, solve_blocks
from lsi_engine.numerics.design import PASS_ROWS, Design
from lsi_engine.numerics.products import product

#: Refinement ends where the correction still asked for is so small a share of Δ.
REFINED_TO = 0.005


class Refinement:
    """Brings single samples' shifts Δ ``(C, D')``, in the coordinates z of the blocks, to the optimum without them.

    Parameters
    ----------
    inverses
        ``(C, D', D')`` of the blocks.
    p, residual
        ``(N, C)`` float64 at θ: the probabilities, and those less one at the given label.
    pull
        b ``(C, D')`` float64.
    """

    def __init__(
        self,
        design: Design,
        blocks: ClassBlocks,
        inverses: torch.Tensor,
        p: torch.Tensor,
        residual: torch.Tensor,
        pull: torch.Tensor,
    ) -> None:
        self.design, self.blocks, self.inverses = design, blocks, inverses
        self.p, self.residual, self.pull = p, residual, pull.to(blocks.dtype)

    def __call__(self, i: int, delta: torch.Tensor, steps: int) -> tuple[torch.Tensor, float]:
        """Δ of sample ``i`` after at most ``steps``, and the relative length of what its residual still asks for.

        The steps are preconditioned by the class blocks, each with the length that two residuals suggest, and conjugate
        to the last one. They follow the other samples' curvature along the way and bring the coupling of the classes
        back.
        """
        delta = delta - delta.mean(dim=0)
        gradient = self.gradient(i, delta)
        solved = solve_blocks(self.inverses, gradient)
        direction, best = -solved, (delta, float(solved.norm() / delta.norm()))
        for _ in range(steps):
            if best[1] <= REFINED_TO:
                break
            change = self.gradient(i, delta + direction) - gradient
            before = (gradient * direction).sum()
            # Where along the direction the gradient's component in it vanishes.
            length = torch.clamp(-before / (change * direction).sum(), 0.25, 4.0)
            delta, gradient = delta + length * direction, gradient + length * change
            solved = solve_blocks(self.inverses, gradient)
            left = float(solved.norm() / delta.norm())
            if not left < best[1]:
                break
            best = delta, left
            direction = -solved + (gradient * solved).sum() / before.abs() * direction
        return best

    def gradient(self, i: int, delta: torch.Tensor) -> torch.Tensor:
        """∇ at θ + Δ of the loss without sample i: Σ_{n≠i} x̃_n dp_n + γΔ − r_i x̃_i − b."""
        total = self.blocks.ridge * delta - self.pull
        total -= self.residual[i].to(delta.dtype)[:, None] * self.blocks.rows[i]
        for z, _, _, change in self._moved(i, delta):
            total += product(change.T.contiguous(), z)
        return total

    def energy(self, i: int, delta: torch.Tensor, prior_precision: float) -> torch.Tensor:
        """½ ΔᵀP₋ᵢΔ (nats, float64) under the full posterior at θ₋ᵢ: for a single Δ it takes one pass over all rows."""
        total = prior_precision * delta.double().square().sum()
        for _, logits, p, change in self._moved(i, delta):
            weighted = logits * (p + change)
            total += (weighted * logits).sum(dtype=torch.float64)
            total -= weighted.sum(dim=1).square().sum(dtype=torch.float64)
        return total / 2

    def _moved(self, i: int, delta: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """By blocks of samples, with nothing of sample i in it: z, x̃ᵀΔ, p at θ, and its change dp at θ + Δ.

        dp = p (e − s) / (1 + s), e = expm1(x̃ᵀΔ), s = Σ p e: formed from Δ itself, it needs no more than single
        precision.
        """
        right = delta.T.contiguous()
        for rows in self.design.row_blocks(PASS_ROWS):
            z, p = self.blocks.rows[rows], self.p[rows].to(delta.dtype)
            logits = product(z, right)
            if rows.start <= i < rows.stop:
                logits[i - rows.start] = 0
            change = torch.expm1(logits).mul_(p)
            s = change.sum(dim=1, keepdim=True)
            yield z, logits, p, change.addcmul_(p, s, value=-1).div_(1 + s)
