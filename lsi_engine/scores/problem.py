"""One scoring problem, checked and stated: what every method starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError, one_of
from lsi_engine.inputs import check_features, encode_labels
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.settings import Scaling
from lsi_engine.training.softmax_objective import SoftmaxObjective, as_targets


@dataclass(frozen=True)
class Problem:
    """The objective of the linear softmax probe on checked data, and the prior of its Laplace posterior.

    Attributes
    ----------
    objective
        Loss, gradient and curvature over the scaled features.
    codes, classes
        ``(N,)`` int64 class indices and the sorted labels that they index.
    scaling
        How the features were scaled.
    prior_precision
        δ as a number.
    notes
        What deserves a warning about the data.
    """

    objective: SoftmaxObjective
    codes: NDArray[np.int64]
    classes: list[Any]
    scaling: FeatureScaling
    prior_precision: float
    notes: tuple[str, ...]

    @classmethod
    def from_data(
        cls,
        features: ArrayLike | torch.Tensor,
        labels: ArrayLike | torch.Tensor,
        *,
        weight_decay: float,
        prior_precision: float | Literal["weight_decay"],
        feature_scaling: Scaling,
        device: str | torch.device | None = None,
    ) -> Problem:
        """Check everything; see :func:`lsi_engine.score` for the arguments. Raises ``InputError``."""
        one_of("feature_scaling", feature_scaling, ("none", "standardize"))
        if not (np.isfinite(weight_decay) and weight_decay > 0):
            raise InputError(f"weight_decay is {weight_decay}; the optimum needs a positive, finite one (paper: 0.01)")
        checked = check_features(features)
        count, dimension = int(checked.shape[0]), int(checked.shape[1])
        codes, classes = encode_labels(labels, count)
        delta = count * weight_decay if prior_precision == "weight_decay" else float(prior_precision)
        if not (np.isfinite(delta) and delta > 0):
            raise InputError(f"prior_precision is {prior_precision}; it must be positive and finite, or 'weight_decay'")
        if device is None:
            device = checked.device if isinstance(checked, torch.Tensor) else "cpu"
        standardize = feature_scaling == "standardize"
        scaling = FeatureScaling.standardize(checked) if standardize else FeatureScaling.identity(dimension)
        design = Design(checked, scaling, device)
        objective = SoftmaxObjective(design, as_targets(codes, design.device), len(classes), weight_decay)
        return cls(objective, codes, classes, scaling, delta, tuple(_notes(codes, classes)))


def _notes(codes: NDArray[np.int64], classes: list[Any]) -> list[str]:
    single = [str(classes[c]) for c in np.flatnonzero(np.bincount(codes) == 1)]
    if not single:
        return []
    named = ", ".join(single[:5]) + ("…" if len(single) > 5 else "")
    return [
        f"{len(single)} class(es) have a single sample ({named}): left out, the class is unknown to the probe, "
        "so the suspicion of that sample means nothing"
    ]
