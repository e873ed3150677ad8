"""``score_objective``: LSI of every sample under any differentiable loss on a linear probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError, one_of
from lsi_engine.inputs import check_features
from lsi_engine.losses.objective import Objective
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.objective_leave_one_out import leave_one_out_objective
from lsi_engine.settings import LooPrior, Scaling, check_tolerance
from lsi_engine.training.linear_objective import LinearObjective, linear_objective
from lsi_engine.training.newton import fit_linear_probe


@dataclass(frozen=True)
class ObjectiveScores:
    """Scores under one objective, rows in the input's order.

    Attributes
    ----------
    lsi_mean_shift, lsi_covariance
        ``(N,)`` float64 nats; their sum is ``lsi``.
    leverage
        ``(N,)``: the share of its own fit that a sample determines, tr(F_iS_i).
    loo_loss
        ``(N,)`` nats: the sample's own loss under the probe trained without it, no penalty.
    loo_prediction
        ``(N, O)``: class or label probabilities, or predicted values, without the sample.
    columns
        Further columns of the frame, by the objective.
    weight, bias
        ``(O, D)`` and ``(O,)``: the probe trained on everything, in the units of the scaled features; ``bias`` is
        ``None`` for a head that has none.
    scaling
        How features were scaled.
    info
        JSON-able facts: objective, conventions, gradient norm, warnings.
    """

    lsi_mean_shift: NDArray[np.float64]
    lsi_covariance: NDArray[np.float64]
    leverage: NDArray[np.float64]
    loo_loss: NDArray[np.float64]
    loo_prediction: NDArray[np.float64]
    columns: dict[str, ArrayLike]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    scaling: FeatureScaling
    info: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.loo_loss)

    @property
    def lsi(self) -> NDArray[np.float64]:
        """``(N,)`` float64 nats: KL of the posterior without the sample from the posterior with it."""
        return self.lsi_mean_shift + self.lsi_covariance

    def to_frame(self) -> pd.DataFrame:
        """One row a sample: lsi, lsi_mean_shift, lsi_covariance, leverage, loo_loss, then the objective's columns."""
        common = {name: getattr(self, name) for name in ("lsi", "lsi_mean_shift", "lsi_covariance", "leverage")}
        table = {**common, "loo_loss": self.loo_loss, **self.columns}
        return pd.DataFrame(table, index=pd.RangeIndex(len(self), name="sample"))


def score_objective(
    features: ArrayLike | torch.Tensor,
    targets: Any,
    *,
    objective: str | Objective,
    weight_decay: float = 0.01,
    hessian: Literal["diag", "full"] = "diag",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    loo_prior: LooPrior = "rescaled",
    feature_scaling: Scaling = "none",
    device: str | torch.device | None = None,
    tolerance: float = 1e-12,
    progress: Progress = silent,
) -> ObjectiveScores:
    """Laplace Sample Information of every sample, by closed-form leave-one-out of a linear probe.

    The probe is trained to the optimum of the **mean** loss + (weight_decay / 2)‖θ‖², bias decayed too. Everything is
    float64. For softmax these are the numbers of :func:`lsi_engine.score`, which is faster.

    Parameters
    ----------
    features
        ``(N, D)`` numbers.
    targets
        What the objective takes: class labels (``"softmax"``), ``(N, L)`` of 0 and 1 (``"sigmoid"``), numbers ``(N,)``
        or ``(N, O)`` (``"gaussian"``).
    objective
        A name, or an :class:`~lsi_engine.losses.objective.Objective`: ``Gaussian(noise_variance=0.1)``, or your own.
    weight_decay, hessian, prior_precision, loo_prior, feature_scaling, device
        As in :func:`lsi_engine.score`.
    tolerance
        Of the fit, relative to one sample's gradient.

    Raises
    ------
    InputError
        For features or targets that cannot be scored (names the row), a loss that is not convex, or a Hessian that
        does not fit into memory.
    NotConverged
        When the fit does not reach its optimum, where a closed form would be wrong.
    """
    one_of("feature_scaling", feature_scaling, ("none", "standardize"))
    check_tolerance(tolerance)
    checked = check_features(features)
    standardize = feature_scaling == "standardize"
    scaling = FeatureScaling.standardize(checked) if standardize else FeatureScaling.identity(int(checked.shape[1]))
    if device is None:
        device = checked.device if isinstance(checked, torch.Tensor) else "cpu"
    problem = linear_objective(Design(checked, scaling, device), targets, objective, weight_decay)
    fitted = fit_linear_probe(problem, tolerance=tolerance, progress=progress)
    table = score_at(
        problem,
        fitted.theta,
        hessian=hessian,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
        scaling=scaling,
        progress=progress,
    )
    table.info.update(feature_scaling=feature_scaling, newton_steps=fitted.newton_steps)
    return table


def score_at(
    problem: LinearObjective,
    theta: torch.Tensor,
    *,
    hessian: Literal["diag", "full"],
    prior_precision: float | Literal["weight_decay"],
    loo_prior: LooPrior,
    scaling: FeatureScaling,
    progress: Progress,
) -> ObjectiveScores:
    """Leave-one-out at the weights ``theta``, tabulated. Raises ``InputError`` for unknown settings."""
    one_of("hessian", hessian, ("diag", "full"))
    one_of("loo_prior", loo_prior, ("rescaled", "fixed"))
    delta = problem.ridge if prior_precision == "weight_decay" else float(prior_precision)
    if not (np.isfinite(delta) and delta > 0):
        raise InputError(f"prior_precision is {prior_precision}; it must be positive and finite, or 'weight_decay'")
    left_out = leave_one_out_objective(
        problem, theta, hessian=hessian, prior_precision=delta, loo_prior=loo_prior, progress=progress
    )
    value, gradient = problem.value_and_gradient(theta)
    dimension, logits = problem.design.dimension, left_out.logits
    return ObjectiveScores(
        lsi_mean_shift=left_out.mean_shift.cpu().numpy(),
        lsi_covariance=left_out.covariance.cpu().numpy(),
        leverage=left_out.leverage.cpu().numpy(),
        loo_loss=left_out.loss.cpu().numpy(),
        loo_prediction=problem.objective.prediction(logits).cpu().numpy(),
        columns=problem.objective.columns(logits.cpu(), problem.targets.cpu()),
        weight=theta[:, :dimension].cpu().numpy(),
        bias=theta[:, dimension].cpu().numpy() if theta.shape[1] > dimension else None,
        scaling=scaling,
        info={
            "method": "closed_form",
            "objective": problem.objective.name,
            "hessian": hessian,
            "loo_prior": loo_prior,
            "weight_decay": problem.weight_decay,
            "prior_precision": delta,
            "samples": problem.samples,
            "dimension": dimension,
            "outputs": problem.outputs,
            "gradient_norm": float(gradient.norm()) / problem.samples,
            "loss": value / problem.samples,
            "distance_to_optimum": left_out.leftover**0.5,
            "distance_of_a_sample": left_out.kick**0.5,
        },
    )
