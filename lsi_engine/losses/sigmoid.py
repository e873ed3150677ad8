"""The loss of any number of labels at once, each present or absent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from lsi_engine.errors import InputError
from lsi_engine.inputs import numeric_targets
from lsi_engine.losses.objective import Objective, Structure


class Sigmoid(Objective):
    """Any number of labels at once, each present or absent: ℓ = Σ_l softplus(f_l) − y_l f_l, F = diag p(1 − p).

    Targets are ``(N, L)`` of 0 and 1 (or ``(N,)`` for one label).

    Parameters
    ----------
    labels
        Names of the L labels; their numbers if not given.
    """

    name = "sigmoid"
    structure: Structure = "independent"

    def __init__(self, labels: Sequence[Hashable] | None = None) -> None:
        self.labels = None if labels is None else list(labels)

    @classmethod
    def for_targets(cls, targets: Any) -> Sigmoid:
        """Names from the columns of a pandas frame."""
        return cls(list(targets.columns) if isinstance(targets, pd.DataFrame) else None)

    def encode(self, targets: Any, samples: int) -> torch.Tensor:
        values = numeric_targets(targets, samples)
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            row, label = (int(k[0]) for k in np.nonzero(wrong))
            raise InputError(f"target of row {row}, label {label} is {values[row, label]:g}; each must be 0 or 1")
        if self.labels is not None and len(self.labels) != values.shape[1]:
            raise InputError(f"{len(self.labels)} label names for targets with {values.shape[1]} columns")
        return torch.as_tensor(values)

    def outputs(self, targets: torch.Tensor) -> int:
        return targets.shape[1]

    def values(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1)

    def residual(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(logits) - targets

    def curvature(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.diag_embed(torch.sigmoid(logits) * torch.sigmoid(-logits))

    def curvature_slope(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = torch.sigmoid(logits)
        return torch.diag_embed(p * torch.sigmoid(-logits) * (1 - 2 * p))

    def prediction(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(logits)

    def columns(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, ArrayLike]:
        """``suspicion``: the largest doubt over the labels, 1 − probability of what is given; ``doubted_label``: whose.

        A label may be doubted because it is present or because it is absent; the targets say which.
        """
        doubt, which = torch.sigmoid(torch.where(targets > 0, -logits, logits)).max(dim=1)
        names = self.labels or list(range(logits.shape[1]))
        return {"suspicion": doubt.numpy(), "doubted_label": pd.Series(names)[which.numpy()].to_numpy()}
