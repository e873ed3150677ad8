"""The training objective of the linear softmax probe, stated once.

With X̃ = [x, 1] (``D' = D + 1`` columns, bias last), weights Θ of shape ``(C, D')`` and logits f = X̃ Θᵀ, the
probe minimises, in **sum** form,

    L(Θ) = Σ_n −log softmax(f_n)[y_n] + (N · wd / 2) ‖Θ‖²

which is N times the paper's **mean** cross-entropy + (wd / 2) ‖Θ‖². The bias is decayed like every other weight, as
in the paper's reference code (SGD's own weight decay). Gradients and Hessians below are of the sum form; the
*gradient norm* that runs report is ‖∇L‖ / N, the mean form's.

At the optimum the rows of Θ sum to zero over classes, and so does every residual p − e_y. All Hessians are
therefore stated in the C − 1 **contrasts** Q (orthonormal, Qᵀ1 = 0): the same numbers, in (C − 1)² D'² instead of C²
D'².
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch

from lsi_engine.numerics.design import PASS_ROWS, Design
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import product


def contrasts(classes: int, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Q ``(C, C − 1)``: an orthonormal basis of the class vectors that sum to zero (Helmert)."""
    return torch.as_tensor(scipy.linalg.helmert(classes).T.copy(), dtype=dtype, device=device)


class SoftmaxObjective:
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
        self.design = design
        self.targets = targets.to(design.device)
        self.classes = classes
        self.weight_decay = weight_decay

    @property
    def samples(self) -> int:
        return self.design.rows

    @property
    def ridge(self) -> float:
        """N · wd, the curvature of the penalty in the sum form."""
        return self.samples * self.weight_decay

    def value_and_gradient(self, theta: torch.Tensor) -> tuple[float, torch.Tensor]:
        """L and ∇L ``(C, D')`` at Θ ``(C, D')``, in float64."""

        def part(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.design.block(rows, torch.float64)
            log_p = torch.log_softmax(product(x, theta.T), dim=1)
            y = self.targets[rows, None]
            residual = log_p.exp()
            residual.scatter_add_(1, y, residual.new_full(y.shape, -1.0))
            return log_p.gather(1, y).sum(), product(residual.T, x)

        value = self.ridge / 2 * theta.square().sum()
        gradient = self.ridge * theta
        for log_likelihood, slope in in_parallel(part, self.design.row_blocks(PASS_ROWS), theta.device):
            value -= log_likelihood
            gradient += slope
        return float(value), gradient

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


def gradient_norm(objective: SoftmaxObjective, theta: torch.Tensor) -> float:
    """‖∇L‖ / N: the norm of the mean form's gradient, the figure that runs store."""
    return float(objective.value_and_gradient(theta)[1].norm()) / objective.samples


def as_targets(codes: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """Class indices as the int64 tensor that the objective takes."""
    return torch.as_tensor(np.ascontiguousarray(codes, dtype=np.int64), device=device)
