"""Any differentiable loss on linear logits, stated once: what leave-one-out needs to know of it.

A sample has logits f = Θx̃, ``(O,)``, and a target y. Its loss ℓ(f, y), in nats, enters leave-one-out through its value,
its residual r = ∂ℓ/∂f and its curvature F = ∂²ℓ/∂f² only. :class:`Objective` derives the last two by automatic
differentiation, so a new loss is its ``encode``, ``outputs`` and ``values``, as in :mod:`lsi_engine.losses.gaussian`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike
from torch.func import grad, hessian, jacrev, vmap

Structure = Literal["dense", "independent", "identical"]


class Objective(ABC):
    """A per-sample loss ℓ(f, y) on O linear logits, convex in f; all tensors float64, all losses in nats.

    To add a loss, write ``encode``, ``outputs`` and ``values`` with torch operations; override the rest for speed.
    ``n`` below is any number of samples; blocks of them may come from several threads at once.

    Attributes
    ----------
    name
        Recorded with the scores.
    structure
        What F looks like, and therefore how the Hessian splits: ``"dense"``: any; ``"independent"``: diagonal, one
        block of D' × D' an output; ``"identical"``: the same number for all outputs of a sample, one block for all.
    constant_curvature
        F does not depend on f: the loss is quadratic and leave-one-out exact.
    """

    name: str
    structure: Structure = "dense"
    constant_curvature: bool = False

    @abstractmethod
    def encode(self, targets: Any, samples: int) -> torch.Tensor:
        """The caller's targets, checked, as a tensor whose first dimension is ``samples``.

        Raises ``InputError`` naming the row that cannot be used.
        """

    @abstractmethod
    def outputs(self, targets: torch.Tensor) -> int:
        """O, the logits that a sample with such encoded targets has."""

    @abstractmethod
    def values(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """ℓ ``(n,)`` at logits ``(n, O)``."""

    def residual(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """r ``(n, O)``: ∂ℓ/∂f."""
        return vmap(grad(self._value))(logits, targets)

    def value_and_residual(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Σ ℓ and r ``(n, O)`` together, for losses in which the two share their work."""
        return self.values(logits, targets).sum(), self.residual(logits, targets)

    def curvature(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """F ``(n, O, O)``: ∂²ℓ/∂f²."""
        return vmap(hessian(self._value))(logits, targets)

    def curvature_slope(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """``(n, O, O)``: element (o, k) is ∂F_oo / ∂f_k, how the diagonal of F answers to a change of the logits."""

        def diagonal(logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return self.curvature(logit[None], target[None])[0].diagonal()

        return vmap(jacrev(diagonal))(logits, targets)

    def prediction(self, logits: torch.Tensor) -> torch.Tensor:
        """What the probe says, ``(n, O)``, in the targets' own units; the logits unless overridden."""
        return logits

    def columns(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, ArrayLike]:
        """Further columns ``(n,)`` of a score table from the leave-one-out logits ``(n, O)``; none unless overridden.

        (An estimator's own columns, which every loss has, are not here.)
        """
        return {}

    def _value(self, logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.values(logit[None], target[None])[0]
