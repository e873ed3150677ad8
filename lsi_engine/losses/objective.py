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

from lsi_engine.errors import InputError

#: Samples on which an objective's own derivatives are held against automatic ones, and how well they must agree.
CHECKED_ROWS, AGREEMENT = 8, 1e-6
#: Elements of a sample's third derivative, above which it is not taken by automatic differentiation.
SLOPE_ELEMENTS = 1 << 22

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

    def check(self, targets: torch.Tensor) -> None:
        """Hold what a subclass states of its derivatives against those of ``values``, on a few of the targets.

        The engine's own losses are held against them by its tests. With very many outputs the slope is left out.
        Raises ``InputError`` naming the one that disagrees: nothing later on would notice, and every score be wrong.
        """
        if type(self).__module__.startswith("lsi_engine."):
            return
        rows = torch.linspace(0, len(targets) - 1, min(len(targets), CHECKED_ROWS)).long().to(targets.device)
        some, outputs = targets[rows], self.outputs(targets)
        random = torch.Generator().manual_seed(0)
        logits = torch.randn(len(rows), outputs, dtype=torch.float64, generator=random).to(targets.device)
        curvature = Objective.curvature(self, logits, some)
        value, residual = self.values(logits, some).sum(), Objective.residual(self, logits, some)
        together = self.value_and_residual(logits, some)
        pairs = [
            ("residual", self.residual(logits, some), residual),
            ("curvature", self.curvature(logits, some), curvature),
            ("value_and_residual", together[0], value),
            ("value_and_residual", together[1], residual),
        ]
        if outputs**3 <= SLOPE_ELEMENTS:
            slope = vmap(jacrev(lambda f, y: hessian(self._value)(f, y).diagonal()))(logits, some)
            pairs.append(("curvature_slope", self.curvature_slope(logits, some), slope))
            if self.constant_curvature:
                pairs.append(("constant_curvature", torch.zeros_like(slope), slope))
        off = curvature - torch.diag_embed(curvature.diagonal(dim1=1, dim2=2))
        if self.structure != "dense":
            pairs.append(("structure", torch.zeros_like(off), off))
        if self.structure == "identical":
            diagonal = curvature.diagonal(dim1=1, dim2=2)
            pairs.append(("structure", diagonal[:, :1].expand_as(diagonal), diagonal))
        for name, stated, derived in pairs:
            if stated.shape != derived.shape:
                raise InputError(
                    f"objective {self.name!r}: {name} gives the shape {tuple(stated.shape)} where "
                    f"{tuple(derived.shape)} is due"
                )
            error = float((stated - derived).abs().max())
            largest = max(float(derived.abs().max()), float(curvature.abs().max()))
            if not error <= AGREEMENT * largest + 1e-12:
                raise InputError(
                    f"objective {self.name!r}: {name} disagrees with automatic differentiation of its values by "
                    f"{error:.3g} where the largest is {largest:.3g}; correct it, or leave it out to have it derived"
                )

    def _value(self, logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.values(logit[None], target[None])[0]
