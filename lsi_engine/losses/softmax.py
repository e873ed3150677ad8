"""The cross-entropy of one class of C, and the contrasts in which its curvature is stated.

Logits f ``(C,)`` and f + constant give the same probabilities. So at the optimum of a decayed probe its weights sum to
zero over classes, as every residual p − e_y does, and all Hessians are stated in the C − 1 **contrasts** Q
(orthonormal, Qᵀ1 = 0): the same numbers, in (C − 1)² D'² instead of C² D'².
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
import torch
from numpy.typing import ArrayLike

from lsi_engine.errors import InputError
from lsi_engine.inputs import encode_labels
from lsi_engine.losses.objective import Objective


class Softmax(Objective):
    """One class of C: ℓ = −log softmax(f)[y], r = p − e_y, F = diag(p) − ppᵀ.

    Parameters
    ----------
    classes
        Labels in the order of the logits. A class of which there is no sample is allowed.
    """

    name = "softmax"

    def __init__(self, classes: Sequence[Hashable]) -> None:
        self.classes = list(classes)

    @classmethod
    def for_targets(cls, targets: Any) -> Softmax:
        """The classes that occur, sorted."""
        return cls(encode_labels(targets, len(targets))[1])

    def encode(self, targets: Any, samples: int) -> torch.Tensor:
        codes, labels = encode_labels(targets, samples)
        numbers = {label: k for k, label in enumerate(self.classes)}
        for code, label in enumerate(labels):
            if label not in numbers:
                row = int(np.flatnonzero(codes == code)[0])
                known = ", ".join(map(str, self.classes[:10])) + (", …" if len(self.classes) > 10 else "")
                raise InputError(f"label of row {row} is {label!r}, which is none of the classes {known}")
        return torch.as_tensor(np.array([numbers[label] for label in labels])[codes])

    def outputs(self, targets: torch.Tensor) -> int:
        return len(self.classes)

    def values(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return -torch.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]

    def residual(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(logits, dim=1)
        return p.scatter_add(1, targets[:, None], p.new_full((len(p), 1), -1.0))

    def value_and_residual(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_p, y = torch.log_softmax(logits, dim=1), targets[:, None]
        residual = log_p.exp()
        residual.scatter_add_(1, y, residual.new_full(y.shape, -1.0))
        return -log_p.gather(1, y).sum(), residual

    def curvature(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(logits, dim=1)
        return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]

    def curvature_slope(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(logits, dim=1)
        return ((1 - 2 * p) * p)[:, :, None] * (torch.eye(p.shape[1], dtype=p.dtype, device=p.device) - p[:, None, :])

    def prediction(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.softmax(logits, dim=1)

    def columns(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, ArrayLike]:
        """Those of :class:`lsi_engine.ScoreTable`, by the same names and with the same meaning."""
        p = self.prediction(logits)
        given = p.gather(1, targets[:, None])[:, 0]
        others = p.scatter(1, targets[:, None], 0.0)
        predicted = p.argmax(dim=1)
        labels = pd.Series(self.classes)[predicted.numpy()].reset_index(drop=True)
        return {
            "loo_probability": given.numpy(),
            "loo_predicted_label": labels.to_numpy(),
            "suggested_label": labels.convert_dtypes().mask((predicted == targets).numpy()).array,
            "suspicion": others.sum(dim=1).clamp(max=1).numpy(),
            "margin": (given - others.max(dim=1).values).numpy(),
        }


def contrasts(classes: int, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Q ``(C, C − 1)``: an orthonormal basis of the class vectors that sum to zero (Helmert)."""
    return torch.as_tensor(scipy.linalg.helmert(classes).T.copy(), dtype=dtype, device=device)


def class_covariance(probabilities: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Qᵀ F_n Q ``(n, R, R)`` for class probabilities ``(n, C)`` and contrasts Q ``(C, R)``."""
    mean = probabilities @ basis
    return torch.einsum("nc,ca,cb->nab", probabilities, basis, basis) - mean[:, :, None] * mean[:, None, :]
