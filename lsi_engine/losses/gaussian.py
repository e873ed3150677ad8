"""The loss of regression with known noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lsi_engine.errors import InputError
from lsi_engine.inputs import numeric_targets
from lsi_engine.losses.objective import Objective, Structure


class Gaussian(Objective):
    """Regression with known noise: ℓ = Σ_o (f_o − y_o)² / 2σ_o² + ½ log 2πσ_o², F = diag 1/σ². Leave-one-out is exact.

    Targets are ``(N, O)`` numbers (or ``(N,)`` for one output). They are not centred; the probe has a bias, which is
    decayed like its other weights.

    Parameters
    ----------
    noise_variance
        σ², one for all outputs or one each. It sets how strongly the data weigh against the weight decay.
    """

    name = "gaussian"
    constant_curvature = True

    def __init__(self, noise_variance: float | Sequence[float] = 1.0) -> None:
        self.noise_variance = np.atleast_1d(np.asarray(noise_variance, dtype=np.float64))
        if not (np.isfinite(self.noise_variance).all() and (self.noise_variance > 0).all()):
            raise InputError(f"noise_variance is {noise_variance}; it must be positive and finite")
        self.structure: Structure = "identical" if len(self.noise_variance) == 1 else "independent"

    @classmethod
    def for_targets(cls, targets: Any) -> Gaussian:
        return cls()

    def encode(self, targets: Any, samples: int) -> torch.Tensor:
        values = numeric_targets(targets, samples)
        if len(self.noise_variance) not in (1, values.shape[1]):
            raise InputError(f"{len(self.noise_variance)} noise variances for targets with {values.shape[1]} columns")
        return torch.as_tensor(values)

    def outputs(self, targets: torch.Tensor) -> int:
        return targets.shape[1]

    def _precision(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(1 / self.noise_variance).to(logits).expand_as(logits)

    def values(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        precision = self._precision(logits)
        return ((logits - targets).square() * precision + math.log(2 * math.pi) - precision.log()).sum(dim=1) / 2

    def residual(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits - targets) * self._precision(logits)

    def curvature(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.diag_embed(self._precision(logits))

    def curvature_slope(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(torch.diag_embed(logits))

    def columns(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, ArrayLike]:
        """``loo_error``: root mean square over outputs of prediction − target; ``loo_prediction`` if there is one."""
        columns: dict[str, ArrayLike] = {"loo_error": (logits - targets).square().mean(dim=1).sqrt().numpy()}
        return columns | ({"loo_prediction": logits[:, 0].numpy()} if logits.shape[1] == 1 else {})
