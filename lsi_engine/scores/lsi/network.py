"""LSI over all weights of a small network, by really retraining it without each sample (paper, appendix C).

The network is the caller's module, called functionally; the leave-one-out networks of a block are trained side by side,
each from the module's present weights, by the full-batch gradient descent of :mod:`lsi_engine.training.descent`. The
run that leaves nothing out is the first model of the first block, so that it goes through the same arithmetic.

The Laplace posterior has the generalised Gauss–Newton matrix + δI of :mod:`lsi_engine.curvature.network`; each
network's is taken at its own weights over its own samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.func import grad_and_value, vmap

from lsi_engine.curvature.network import NetworkProblem, Structure, Weights, check_matrix
from lsi_engine.errors import InputError, NotConverged, one_of
from lsi_engine.inputs import check_samples
from lsi_engine.losses.objective import Objective
from lsi_engine.numerics.divergence import gaussian_kl, x_minus_log1p
from lsi_engine.progress import Progress, silent
from lsi_engine.training.descent import SgdSettings, check_training

#: The name of the posterior over all trainable weights.
ALL = "network"


@dataclass(frozen=True)
class NetworkScores:
    """Of each left-out sample, float64, in the order asked for.

    Attributes
    ----------
    samples
        ``(n,)`` rows that were left out.
    mean_shift, covariance
        For each posterior by name, ``(n,)`` nats: the parts of its LSI. ``"network"`` is over all weights.
    loo_loss
        ``(n,)`` nats: the sample's own loss under the network trained without it.
    weights
        The full run's trained weights, by name.
    gradient_norm, loss
        ‖∇‖ of the mean loss with weight decay at those weights, and that loss.
    """

    samples: NDArray[np.int64]
    mean_shift: dict[str, NDArray[np.float64]]
    covariance: dict[str, NDArray[np.float64]]
    loo_loss: NDArray[np.float64]
    weights: Weights
    gradient_norm: float
    loss: float

    def lsi(self, posterior: str = ALL) -> NDArray[np.float64]:
        """``(n,)`` nats."""
        return self.mean_shift[posterior] + self.covariance[posterior]

    def to_frame(self) -> pd.DataFrame:
        """lsi, lsi_mean_shift, lsi_covariance of all weights, loo_loss, and ``lsi_NAME`` of further posteriors."""
        columns = {"lsi": self.lsi(), "lsi_mean_shift": self.mean_shift[ALL], "lsi_covariance": self.covariance[ALL]}
        columns["loo_loss"] = self.loo_loss
        columns |= {f"lsi_{name}": self.lsi(name) for name in self.mean_shift if name != ALL}
        return pd.DataFrame(columns, index=pd.Index(self.samples, name="sample"))


def retrain_network(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: Any,
    settings: SgdSettings,
    *,
    samples: ArrayLike,
    objective: str | Objective = "softmax",
    hessian: Structure = "diag",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    posteriors: Mapping[str, Sequence[str]] | None = None,
    models: int = 32,
    progress: Progress = silent,
) -> NetworkScores:
    """Train the network once on everything and once without each of ``samples``, and compare the posteriors.

    Parameters
    ----------
    model
        Its present weights are every run's initial ones; it is not changed. Weights that do not require gradients
        stay as they are.
    inputs, targets
        ``(N, …)`` in the model's dtype and on its device, and what the objective takes.
    settings
        Full-batch gradient descent; without a sample the loss is a mean over N − 1.
    samples
        Rows to leave out, or a mask ``(N,)`` of booleans; one training each.
    hessian
        ``"full"`` factorises a K × K matrix for every left-out sample: for K up to a few thousand.
    prior_precision
        δ, or ``"weight_decay"`` for N·wd.
    posteriors
        Further posteriors by name, each over the weights listed: ``{"last_layer": ["head.weight", "head.bias"]}``.
    models
        Networks trained side by side; more use more memory, N activations each.

    Raises
    ------
    InputError
        For samples, targets or modules that cannot be used.
    NotConverged
        When training diverges or oscillates.
    """
    one_of("hessian", hessian, ("diag", "full"))
    problem = NetworkProblem(model, inputs, targets, objective)
    problem.objective.check(problem.targets)
    rows = check_samples(samples, len(inputs))
    delta = len(inputs) * settings.weight_decay if prior_precision == "weight_decay" else float(prior_precision)
    if not (math.isfinite(delta) and delta > 0):
        raise InputError(f"prior_precision is {prior_precision}; it must be positive and finite, or 'weight_decay'")
    over = {ALL: list(problem.weights), **{name: list(weights) for name, weights in (posteriors or {}).items()}}
    for name, weights in over.items():
        unknown = [weight for weight in weights if weight not in problem.weights]
        if unknown:
            raise InputError(f"posterior {name!r}: the model has no trainable weight {unknown[0]!r}")
    if hessian == "full":
        check_matrix(sum(value.numel() for value in problem.weights.values()), 6, inputs.device)
    places = {name: _places(problem.weights, weights) for name, weights in over.items()}

    left_out = [None, *rows.tolist()]
    blocks = [left_out[begin : begin + models] for begin in range(0, len(left_out), models)]
    base: Weights = {}
    loss = gradient_norm = math.nan
    found: list[tuple[list[tuple[float, float]], float]] = []
    whole = torch.arange(len(inputs), device=inputs.device)
    # TF32 would cost the differences between networks most of their digits.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        for k, block in enumerate(blocks):
            trained, trace, gradient = _train(problem, block, settings, k, len(blocks), progress)
            if block[0] is None:
                check_training(trace, settings)
                loss, gradient_norm = trace[-1], gradient
                base = {name: value[0].clone() for name, value in trained.items()}
                before = problem.ggn(base, list(base), whole, hessian)
            for m, i in enumerate(block):
                if i is None:
                    continue
                moved = {name: value[m] for name, value in trained.items()}
                if not all(bool(torch.isfinite(value).all()) for value in moved.values()):
                    raise NotConverged(f"the training that leaves out sample {i} diverged: lower learning_rate")
                after = problem.ggn(moved, list(base), whole[whole != i], hessian)
                shift = torch.cat([(moved[name] - base[name]).flatten().double() for name in base])
                parts = [_divergence(shift, before, after, delta, place) for place in places.values()]
                own = problem.objective.values(problem.logits(moved, inputs[i : i + 1]), problem.targets[i : i + 1])
                found.append((parts, float(own)))
                progress("posteriors", len(found), len(rows))
    return NetworkScores(
        samples=rows,
        mean_shift={name: np.array([parts[k][0] for parts, _ in found]) for k, name in enumerate(over)},
        covariance={name: np.array([parts[k][1] for parts, _ in found]) for k, name in enumerate(over)},
        loo_loss=np.array([own for _, own in found]),
        weights=base,
        gradient_norm=gradient_norm,
        loss=loss,
    )


def _train(
    problem: NetworkProblem, block: Sequence[int | None], settings: SgdSettings, k: int, total: int, progress: Progress
) -> tuple[Weights, list[float], float]:
    """Weights ``(m, …)`` after the last epoch, and the first model's losses and last gradient norm."""
    device, count = problem.inputs.device, len(problem.inputs)
    weights = {name: value.expand(len(block), *value.shape).clone() for name, value in problem.weights.items()}
    velocity = {name: torch.zeros_like(value) for name, value in weights.items()}
    shares = torch.empty(len(block), count, dtype=problem.inputs.dtype, device=device)
    for m, i in enumerate(block):
        shares[m] = 1 / (count - (i is not None))
        if i is not None:
            shares[m, i] = 0
    derivative = vmap(grad_and_value(problem.loss))
    trace: list[float] = []
    norm = math.nan
    for epoch in range(settings.epochs + 1):
        gradients, losses = derivative(weights, shares)
        penalty = sum(float(value[0].double().square().sum()) for value in weights.values())
        trace.append(float(losses[0]) + settings.weight_decay / 2 * penalty)
        for name, value in weights.items():
            gradients[name].add_(value, alpha=settings.weight_decay)
        if epoch == settings.epochs:
            norm = sum(float(value[0].double().square().sum()) for value in gradients.values()) ** 0.5
            break
        for name, value in weights.items():
            settings.descend_(value, velocity[name], gradients[name])
        progress("retrain", k * settings.epochs + epoch + 1, total * settings.epochs)
    return weights, trace, norm


def _places(weights: Weights, names: Sequence[str]) -> torch.Tensor:
    """Where the named weights lie in all of them, flattened one after the other."""
    numbers = torch.arange(sum(value.numel() for value in weights.values()), device=next(iter(weights.values())).device)
    split = dict(zip(weights, numbers.split([value.numel() for value in weights.values()]), strict=True))
    return torch.cat([split[name] for name in names])


def _divergence(
    shift: torch.Tensor, before: torch.Tensor, after: torch.Tensor, delta: float, place: torch.Tensor
) -> tuple[float, float]:
    """Both parts of KL(posterior before ‖ posterior after) over the weights at ``place``; curvatures without prior."""
    shift = shift[place]
    if before.ndim == 2:
        prior = delta * torch.eye(len(place), dtype=before.dtype, device=before.device)
        precisions = [matrix[place][:, place] + prior for matrix in (before, after)]
        parts = gaussian_kl(torch.zeros_like(shift), precisions[0], shift, precisions[1])
        return float(parts.mean_shift), float(parts.covariance)
    relative = (after[place] - before[place]) / (before[place] + delta)
    mean_shift = ((after[place] + delta) * shift.square()).sum() / 2
    return float(mean_shift), float(x_minus_log1p(relative).sum()) / 2
