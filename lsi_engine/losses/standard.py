"""The losses on linear logits that come with the engine, and how one is found by its name."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError
from lsi_engine.inputs import encode_labels
from lsi_engine.losses.objective import Objective, Structure


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
        codes, found = encode_labels(targets, samples)
        place = {label: k for k, label in enumerate(self.classes)}
        for code, label in enumerate(found):
            if label not in place:
                row = int(np.flatnonzero(codes == code)[0])
                known = ", ".join(map(str, self.classes[:10])) + (", …" if len(self.classes) > 10 else "")
                raise InputError(f"label of row {row} is {label!r}, which is none of the classes {known}")
        return torch.as_tensor(np.array([place[label] for label in found])[codes])

    def outputs(self, targets: torch.Tensor) -> int:
        return len(self.classes)

    def values(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return -torch.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]

    def residual(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(logits, dim=1)
        return p.scatter_add(1, targets[:, None], p.new_full((len(p), 1), -1.0))

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
        values = _table(targets, samples)
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
        values = _table(targets, samples)
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


def _table(targets: Any, samples: int) -> NDArray[np.float64]:
    """Numbers ``(N, O)``, finite; a column vector for ``(N,)``."""
    if isinstance(targets, torch.Tensor):
        targets = targets.detach().cpu().numpy()
    elif isinstance(targets, pd.DataFrame | pd.Series):
        targets = targets.to_numpy()
    try:
        values = np.asarray(targets).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"targets must be a table of numbers: {error}") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"targets of shape {values.shape}: one row of numbers a sample is needed")
    if len(values) != samples:
        raise InputError(f"{samples} feature rows but {len(values)} targets; they must match one to one")
    if not np.isfinite(values).all():
        raise InputError(f"target of row {int(np.nonzero(~np.isfinite(values))[0][0])} is missing or infinite")
    return values


OBJECTIVES: dict[str, type[Softmax] | type[Sigmoid] | type[Gaussian]] = {
    objective.name: objective for objective in (Softmax, Sigmoid, Gaussian)
}


def resolve(objective: str | Objective, targets: Any) -> Objective:
    """An objective by name, made for these targets, or the caller's own. Raises ``InputError`` for unknown names."""
    if isinstance(objective, Objective):
        return objective
    if objective not in OBJECTIVES:
        raise InputError(f"objective {objective!r} is not one of: {', '.join(OBJECTIVES)}, or an Objective of your own")
    return OBJECTIVES[objective].for_targets(targets)
