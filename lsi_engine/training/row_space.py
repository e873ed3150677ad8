"""Fewer samples than features: everything that is learned lies in the span of the samples.

The penalty is isotropic (the bias is decayed like every other weight), so with X̃ = Z Vᵀ, V ``(D', r)`` orthonormal, the
optimum on X̃ is that on Z ``(N, r)`` turned by V. Hessians shrink from (R·D')² to (R·r)² entries, and what they say in
the directions outside the span is the penalty alone, with and without any sample. Nothing is approximated.
"""

from __future__ import annotations

from typing import NamedTuple

import scipy.linalg
import torch

from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: The turn pays where there are at most so many samples a column of X̃.
SHARE = 0.75


class RowSpace(NamedTuple):
    """``objective`` on Z, whose design has no bias column of its own; ``turn`` V ``(D', r)`` float64."""

    objective: SoftmaxObjective
    turn: torch.Tensor

    def back(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights ``(…, r)`` in the features' own coordinates ``(…, D')``."""
        return weights @ self.turn.T.to(weights.dtype)


def row_space(objective: SoftmaxObjective) -> RowSpace | None:
    """The objective in the span of its rows; ``None`` where there are too many rows for that to pay."""
    design = objective.design
    if design.rows > SHARE * design.columns:
        return None
    x = design.block(slice(0, design.rows), torch.float64)
    # Of the transpose, so that V is orthonormal to rounding whatever the conditioning of X̃.
    if x.device.type == "cpu":
        q, r = scipy.linalg.qr(x.numpy().T, mode="economic", check_finite=False)
        turn, triangle = torch.from_numpy(q), torch.from_numpy(r)
    else:
        turn, triangle = torch.linalg.qr(x.T)
    z = triangle.T.contiguous()
    turned = Design(z, FeatureScaling.identity(z.shape[1]), design.device, bias=False)
    return RowSpace(SoftmaxObjective(turned, objective.targets, objective.classes, objective.weight_decay), turn)
