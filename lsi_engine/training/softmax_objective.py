"""The training problem of the linear softmax probe: what its Newton steps need beside the loss itself."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from lsi_engine.losses.softmax import Softmax, contrasts
from lsi_engine.numerics.design import PASS_ROWS, Design
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import product
from lsi_engine.training.linear_objective import LinearObjective


class SoftmaxObjective(LinearObjective):
    """L, its gradient and its Hessian-vector products over one dataset, streamed over rows.

    Parameters
    ----------
    design
        X̃, ``(N, D')``.
    targets
        ``(N,)`` int64 class indices in ``0..C−1``.
    classes
        C.
    weight_decay
        wd of the mean form.
    """

    def __init__(self, design: Design, targets: torch.Tensor, classes: int, weight_decay: float) -> None:
        super().__init__(design, Softmax(range(classes)), targets, weight_decay)
        self.classes = classes

    @cached_property
    def basis(self) -> torch.Tensor:
        """Contrasts Q ``(C, C − 1)`` float64, in which the Hessian has full rank."""
        return contrasts(self.classes, dtype=torch.float64, device=self.design.device)

    def probabilities(self, theta: torch.Tensor) -> torch.Tensor:
        """softmax(X̃ Θᵀ) ``(N, C)`` float64."""
        out = torch.empty(self.samples, self.classes, dtype=torch.float64, device=theta.device)

        def part(rows: slice) -> None:
            out[rows] = torch.softmax(product(self.design.block(rows, torch.float64), theta.T), dim=1)

        for _ in in_parallel(part, self.design.row_blocks(PASS_ROWS), theta.device):
            pass
        return out

    def hessian_product(self, probabilities: torch.Tensor, direction: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """∇²L · V for V ``(C, D')``, given the ``(N, C)`` probabilities at the point; products in ``dtype``."""
        v = direction.to(dtype)

        def part(rows: slice) -> torch.Tensor:
            x = self.design.block(rows, dtype)
            p = probabilities[rows].to(dtype)
            g = p * product(x, v.T)
            g -= p * g.sum(dim=1, keepdim=True)
            return product(g.T, x).to(direction.dtype)

        return sum(in_parallel(part, self.design.row_blocks(PASS_ROWS), direction.device), self.ridge * direction)


def gradient_norm(objective: LinearObjective, theta: torch.Tensor) -> float:
    """‖∇L‖ / N: the norm of the mean form's gradient, the figure that runs store."""
    return float(objective.value_and_gradient(theta)[1].norm()) / objective.samples


def as_targets(codes: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """Class indices as the int64 tensor that the objective takes."""
    return torch.as_tensor(np.ascontiguousarray(codes, dtype=np.int64), device=device)
