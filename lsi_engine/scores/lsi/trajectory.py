"""Leave-one-out of a linear probe that has not converged: dynamics of the difference, many epochs at a time.

Gradient descent from the same start with and without sample i differs by E_i(t) = θ₋ᵢ,t − θ_t; the gradients differ by

    d_i(t) = ∇L₋ᵢ(θ_t + E_i) − ∇L(θ_t) = H E_i + c_i(t),

H being the full run's Hessian at some epoch; what varies slowly is c_i: the pull of the sample that is missing, and all
that H does not say. H is diagonalised once in a while, so that Nesterov's recursion is one 2 × 2 matrix an eigenvalue,
whose power over a **window** of epochs costs no more than one step. d_i is computed truly at the end of each window (as
much work as one epoch of true retraining): with c_i held at its value at the window's start, then at its mean over the
window. The second is an exponential integrator of second order (Hochbruck & Ostermann 2010); how far the two lie apart
says whether the window was too long. The first epochs, in which a probe on raw features is thrown about, are trained
truly (:mod:`lsi_engine.training.batches.linear`), and so is each posterior taken at θ₋ᵢ itself.

Cost for each left-out sample: an epoch of true retraining and 4 K² a window, the number of windows growing with the
logarithm of that of epochs; besides, an eigendecomposition of K × K as often as the epochs have grown by half, K =
(C − 1)·(D + 1). True retraining takes 4 N K an epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.curvature.gauss_newton import ggn
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics.design import Design
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.retrain import ProbeTask
from lsi_engine.training.batches.linear import LinearBatch
from lsi_engine.training.descent import SgdSettings, check_training

#: Epochs at the start that are trained truly.
EXACT_EPOCHS = 50
#: How far, relative to a sample's E_i, the two estimates at a window's end may lie apart.
TOLERANCE = 0.05
#: A window's length, and the age of an eigenbasis, as shares of the epochs so far.
LONGEST_WINDOW, OLDEST_BASIS = 0.1, 0.5
#: Windows cut below this many epochs ask for a new basis.
SHORT_WINDOW = 8


@dataclass(frozen=True)
class Trajectory:
    """Of each left-out sample, float64, and of the full run.

    Attributes
    ----------
    mean_shift, covariance
        ``(n,)`` nats: the parts of LSI.
    probabilities
        ``(n, C)`` class probabilities of the sample without it.
    theta
        ``(C, D')``: the full run's last weights.
    gradient_norm, loss
        ‖∇‖ of the mean loss with weight decay at ``theta``, and that loss.
    """

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    probabilities: torch.Tensor
    theta: torch.Tensor
    gradient_norm: float
    loss: float


def planned(first: int, epochs: int) -> tuple[int, int]:
    """Windows and eigenbases from epoch ``first`` to ``epochs`` if no window has to be cut."""
    windows = bases = made = 0
    epoch, length = first, 2
    while epoch < epochs:
        if bases == 0 or epoch - made > OLDEST_BASIS * epoch:
            bases, made = bases + 1, epoch
        windows, epoch = windows + 1, min(epochs, epoch + length)
        length = _longer(epoch, length)
    return windows, bases


def _longer(epoch: int, length: int, factor: float = 2.0) -> int:
    return max(2, round(min(LONGEST_WINDOW * epoch, factor * length)))


def trajectory(
    task: ProbeTask,
    seed: int,
    *,
    samples: NDArray[np.int64],
    tolerance: float = TOLERANCE,
    exact_epochs: int = EXACT_EPOCHS,
    progress: Progress = silent,
) -> Trajectory:
    """Leave out each of ``samples`` in turn, along the path of one full training of a linear probe.

    Parameters
    ----------
    samples
        ``(n,)`` int64 rows.
    tolerance
        Largest error of a window, relative to ‖E_i‖ and for every sample; a window that exceeds it is cut in half.
    exact_epochs
        Epochs at the start in which every left-out run is trained truly.

    Raises
    ------
    NotConverged
        When the full run diverges or oscillates.
    """
    settings = task.settings
    basis = contrasts(task.classes, dtype=torch.float64, device=task.device)
    exact_epochs = min(exact_epochs, settings.epochs)
    runs = task.linear_batch(seed, samples)
    trace = [runs.loss]
    for epoch in range(exact_epochs):
        runs.step()
        trace.append(runs.loss)
        progress("first epochs", epoch + 1, exact_epochs)
    if exact_epochs < settings.epochs:
        _follow(runs, task.design, basis, exact_epochs, tolerance, trace, progress)
    check_training(trace, settings)
    scores = runs.score(progress)
    return Trajectory(
        scores.mean_shift,
        scores.covariance,
        scores.probabilities,
        runs.theta,
        float(runs.gradient.norm()),
        runs.loss,
    )


def _follow(
    runs: LinearBatch,
    design: Design,
    basis: torch.Tensor,
    epoch: int,
    tolerance: float,
    trace: list[float],
    progress: Progress,
) -> None:
    """Carry ``runs`` from ``epoch`` to the last, window by window; the full run's losses are added to ``trace``."""
    settings, dtype, shape = runs.settings, runs.x.dtype, runs.difference.shape
    position = _to_contrasts(runs.difference, basis)
    velocity = _to_contrasts(runs.difference_velocity, basis)
    gradient = _to_contrasts(runs.gradient_differences(), basis)
    values, vectors = _eigenbasis(design, runs.probabilities, basis, settings.weight_decay, dtype)
    state = [part @ vectors for part in (position, velocity, gradient)]
    made, length = epoch, 2

    def differences(coordinates: torch.Tensor) -> torch.Tensor:
        whole = (coordinates @ vectors.T).unflatten(1, (basis.shape[1], -1))
        return torch.einsum("cr,nrd->ncd", basis.to(dtype), whole).view(shape)

    while epoch < settings.epochs and math.isfinite(runs.loss):
        if epoch - made > OLDEST_BASIS * epoch:
            old = vectors
            values, vectors = _eigenbasis(design, runs.probabilities, basis, settings.weight_decay, dtype)
            turn = old.T @ vectors
            state, made = [part @ turn for part in state], epoch
        length = min(length, settings.epochs - epoch)
        before = runs.theta, runs.velocity
        losses = runs.step_full_run(length)
        power, total = (part.to(dtype) for part in _powers(values, settings, length))
        position, velocity, gradient = state
        h = values.to(dtype)
        rest = gradient - h * position
        still = power[:, 0, 0] * position + power[:, 0, 1] * velocity
        guess = still + total[:, 0] * rest
        runs.difference = differences(guess)
        later = _to_contrasts(runs.gradient_differences(), basis) @ vectors - h * guess
        # The steps of a window start from its epochs 0, …, length − 1: their mean lies just before its middle, and a
        # window of one epoch is an exact step.
        mean = rest + (length - 1) / (2 * length) * (later - rest)
        moved = still + total[:, 0] * mean
        error = float(((moved - guess).norm(dim=1) / moved.norm(dim=1)).max())
        if error > tolerance and length > 1:
            runs.return_to(*before)
            length //= 2
            if length < SHORT_WINDOW and made < epoch:
                made = -settings.epochs
            continue
        state = [moved, power[:, 1, 0] * position + power[:, 1, 1] * velocity + total[:, 1] * mean, later + h * moved]
        trace += losses
        epoch += length
        length = _longer(epoch, length, min(2.0, max(0.5, 0.8 * math.sqrt(tolerance / max(error, 1e-12)))))
        progress("left-out runs", epoch, settings.epochs)
    runs.difference = differences(state[0])


def _to_contrasts(difference: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """``(n, C, D')`` → ``(n, R · D')``; what is lost, the mean over classes, is zero."""
    return torch.einsum("cr,ncd->nrd", basis.to(difference), difference).flatten(1)


def _eigenbasis(
    design: Design, probabilities: torch.Tensor, basis: torch.Tensor, weight_decay: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues ``(K,)`` float64 and eigenvectors ``(K, K)`` of the mean loss's Hessian in the contrasts."""
    matrix = ggn(design, probabilities, basis, dtype=dtype) / (design.rows - 1)
    values, vectors = torch.linalg.eigh(matrix.to(dtype))
    return values.to(torch.float64).clamp_min(0) + weight_decay, vectors


def _powers(values: torch.Tensor, settings: SgdSettings, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` Nesterov steps of (position, velocity) under a constant drive: ``(K, 2, 2)`` and ``(K, 2)``."""
    lr, mu = settings.learning_rate, settings.momentum
    one = torch.ones_like(values)
    step = torch.stack(
        [
            torch.stack([1 - lr * (1 + mu) * values, -lr * mu * mu * one], dim=1),
            torch.stack([values, mu * one], dim=1),
        ],
        dim=1,
    )
    drive = torch.stack([-lr * (1 + mu) * one, one], dim=1)
    power, total = torch.eye(2, dtype=values.dtype, device=values.device).expand_as(step), torch.zeros_like(drive)
    for _ in range(count):
        total = (step @ total[:, :, None])[:, :, 0] + drive
        power = step @ power
    return power, total
