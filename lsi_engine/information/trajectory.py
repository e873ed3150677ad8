"""Leave-one-out of a linear probe that has not converged: linearised dynamics of the difference along its path.

Gradient descent from the same start with and without sample i differs by E_i(t) = θ₋ᵢ,t − θ_t. To first order in E_i
the two gradients differ by

    H_t E_i + [g_t − J_iᵀ(r_i,t + F_i,t J_iE_i)] / (N − 1),    H_t = Σ_n J_nᵀF_n,tJ_n / (N − 1) + wd·I,

g_t being the gradient of the full run's mean cross-entropy and r_i,t = p_i,t − e_{y_i}: a linear system that the full
run's path drives. The path is cut into **segments**; in each, H is held at its mean and diagonalised once, after which
Nesterov's recursion is one 2 × 2 matrix an eigenvalue. Within a segment the drive is held constant over **windows** of
epochs, a step to the power of a window's length costs as much as one step, and the sample's own J_iE_i is carried in
the eigenbasis, C numbers a sample. The first epochs, in which a probe on raw features is thrown about far beyond first
order, are trained truly (:mod:`lsi_engine.information.linear_batch`), and so is each posterior taken at θ₋ᵢ itself.

Cost for each left-out sample: about 10 K² a segment whatever N and the number of epochs, and as much as one epoch of
true retraining for the posterior; K = (C − 1)·(D + 1). True retraining takes 4 N K an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch

from lsi_engine.information.linear_batch import LinearBatch
from lsi_engine.information.structure import Structure
from lsi_engine.laplace.curvature import class_covariance, ggn
from lsi_engine.probes.design import Design
from lsi_engine.probes.sgd import SgdSettings, check_training
from lsi_engine.probes.softmax import contrasts
from lsi_engine.progress import Progress, silent

#: Eigenbases along the path, and epochs at the start that are trained truly.
SEGMENTS, EXACT_EPOCHS = 16, 50
#: Samples carried through a segment together.
BLOCK_SAMPLES = 64
#: Rows from which a window's curvature along the eigenbasis is measured.
CURVATURE_ROWS = 4096


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


@dataclass(frozen=True)
class _Window:
    """Epochs start..stop of the full run, and its state averaged over them."""

    start: int
    stop: int
    probabilities: torch.Tensor  # (N, C)
    gradient: torch.Tensor  # (R, D'), of the mean cross-entropy


@dataclass(frozen=True)
class _Segment:
    """Windows that share one eigenbasis V of their mean curvature, each with its own values diag(VᵀHV)."""

    windows: list[_Window]
    values: list[torch.Tensor]  # (K,) float64 a window
    vectors: torch.Tensor  # (K, K)


def window_bounds(first: int, epochs: int, growth: float = 0.08) -> list[int]:
    """Bounds of windows whose lengths grow with the epoch: first, …, epochs."""
    bounds = [first]
    while bounds[-1] < epochs:
        bounds.append(min(epochs, bounds[-1] + max(1, round(growth * bounds[-1]))))
    return bounds


def cost_against_retraining(rows: int, columns: int, classes: int, samples: int, epochs: int) -> float:
    """Multiplications of :func:`trajectory` over those of true retraining, for ``samples`` left out of ``rows``."""
    weights = float((classes - 1) * columns)
    epoch = 2.0 * rows * classes * columns * samples
    hessian = rows * columns**2 * classes * (classes - 1) / 2
    # A symmetric eigendecomposition takes about 5 K³; into, out of and along a basis, 5 K² a sample.
    segments = min(SEGMENTS, max(epochs - EXACT_EPOCHS, 0)) * (hessian + 5 * weights**3 + 5 * weights**2 * samples)
    return (segments + (min(EXACT_EPOCHS, epochs) + 1) * epoch) / ((epochs + 1) * epoch)


def trajectory(
    design: Design,
    targets: torch.Tensor,
    start: torch.Tensor,
    settings: SgdSettings,
    *,
    samples: torch.Tensor,
    hessian: Structure,
    prior_precision: float,
    segments: int = SEGMENTS,
    exact_epochs: int = EXACT_EPOCHS,
    dtype: torch.dtype = torch.float32,
    progress: Progress = silent,
) -> Trajectory:
    """Leave out each of ``samples`` in turn, along the path of one full training.

    Parameters
    ----------
    start
        ``(C, D')`` weights from which all runs start.
    samples
        ``(n,)`` int64 rows.
    segments
        Eigenbases along the path; each costs a K × K eigendecomposition.
    exact_epochs
        Epochs at the start in which every left-out run is trained truly.

    Raises
    ------
    NotConverged
        When the full run diverges or oscillates.
    """
    x = design.block(slice(0, design.rows), torch.float64)
    classes = len(start)
    basis = contrasts(classes, dtype=torch.float64, device=x.device)
    exact_epochs = min(exact_epochs, settings.epochs)
    runs = LinearBatch(
        x, targets, [start], samples, settings, hessian=hessian, prior_precision=prior_precision, dtype=dtype
    )
    trace = [runs.loss]
    for epoch in range(exact_epochs):
        runs.step()
        trace.append(runs.loss)
        progress("first epochs", epoch + 1, exact_epochs)
    state = [_to_contrasts(d, basis) for d in (runs.difference, runs.difference_velocity)]
    path = LinearBatch(
        x, targets, [runs.theta], samples[:0], settings, hessian=hessian, prior_precision=prior_precision, dtype=dtype
    )
    path.velocity = runs.velocity
    windows: list[_Window] = []
    for begin, stop in pairwise(window_bounds(exact_epochs, settings.epochs)):
        probabilities, gradient = torch.zeros_like(path.probabilities), torch.zeros_like(path.data_gradient)
        for _ in range(begin, stop):
            probabilities += path.probabilities / (stop - begin)
            gradient += path.data_gradient / (stop - begin)
            path.step()
            trace.append(path.loss)
        windows.append(_Window(begin, stop, probabilities.to(dtype), basis.T @ gradient))
        progress("full run", stop, settings.epochs)
    check_training(trace, settings)
    groups = [windows[k * len(windows) // segments : (k + 1) * len(windows) // segments] for k in range(segments)]
    groups = [group for group in groups if group]
    for k, group in enumerate(groups):
        segment = _diagonalise(design, group, basis, settings.weight_decay, dtype)
        _advance(segment, state, x, targets, samples, basis, settings)
        progress("segments", k + 1, len(groups))
    last = LinearBatch(
        x, targets, [path.theta], samples, settings, hessian=hessian, prior_precision=prior_precision, dtype=dtype
    )
    last.difference = torch.einsum("cr,nrd->ncd", basis.to(dtype), state[0].unflatten(1, (classes - 1, -1)))
    scores = last.score(progress)
    return Trajectory(
        scores.mean_shift,
        scores.covariance,
        scores.probabilities,
        path.theta,
        float(path.gradient.norm()),
        path.loss,
    )


def _to_contrasts(difference: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """``(n, C, D')`` → ``(n, R · D')``; what is lost, the mean over classes, is zero."""
    return torch.einsum("cr,ncd->nrd", basis.to(difference), difference).flatten(1)


def _diagonalise(
    design: Design, windows: list[_Window], basis: torch.Tensor, weight_decay: float, dtype: torch.dtype
) -> _Segment:
    epochs = windows[-1].stop - windows[0].start
    mean = torch.zeros_like(windows[0].probabilities, dtype=torch.float64)
    for window in windows:
        mean += window.probabilities * ((window.stop - window.start) / epochs)
    matrix = ggn(design, mean, basis, dtype=dtype) / (design.rows - 1)
    vectors = torch.linalg.eigh(matrix.to(dtype)).eigenvectors
    return _Segment(windows, _values(design, windows, basis, weight_decay, vectors), vectors)


def _values(
    design: Design, windows: list[_Window], basis: torch.Tensor, weight_decay: float, vectors: torch.Tensor
) -> list[torch.Tensor]:
    """diag(VᵀHV) in each window, from all rows or an even sample of them: curvature fades as training goes on."""
    count = min(design.rows, CURVATURE_ROWS)
    picked = torch.linspace(0, design.rows - 1, count, device=vectors.device).round().long()
    sums = [torch.zeros(len(vectors), dtype=torch.float64, device=vectors.device) for _ in windows]
    for rows in picked.split(BLOCK_SAMPLES):
        x = design.rows_at(rows.cpu().numpy(), vectors.dtype)
        own = _rows_in_basis(x, vectors, basis.shape[1])
        for window, total in zip(windows, sums, strict=True):
            curvature = class_covariance(window.probabilities[rows].to(torch.float64), basis).to(own)
            total += (torch.bmm(curvature, own) * own).sum(dim=(0, 1))
    scale = design.rows / count / (design.rows - 1)
    return [scale * total + weight_decay for total in sums]


def _rows_in_basis(x: torch.Tensor, vectors: torch.Tensor, size: int) -> torch.Tensor:
    """J V ``(n, R, K)`` for rows x̃ ``(n, D')``."""
    return torch.einsum("nd,rdk->nrk", x, vectors.view(size, -1, vectors.shape[1]))


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


def _advance(
    segment: _Segment,
    state: list[torch.Tensor],
    x: torch.Tensor,
    targets: torch.Tensor,
    samples: torch.Tensor,
    basis: torch.Tensor,
    settings: SgdSettings,
) -> None:
    """Carry E and its velocity ``(n, K)`` through one segment, in place."""
    vectors, rest, size = segment.vectors, len(x) - 1, basis.shape[1]
    dtype = vectors.dtype
    maps = []
    for window, values in zip(segment.windows, segment.values, strict=True):
        power, total = _powers(values, settings, window.stop - window.start)
        shared = (window.gradient.flatten() / rest).to(dtype) @ vectors
        maps.append((power.to(dtype), total.to(dtype), shared))
    for begin in range(0, len(samples), BLOCK_SAMPLES):
        block = slice(begin, begin + BLOCK_SAMPLES)
        rows = samples[block]
        position, velocity = (carried[block] @ vectors for carried in state)
        own = _rows_in_basis(x[rows].to(dtype), vectors, size)
        for window, (power, total, shared) in zip(segment.windows, maps, strict=True):
            p = window.probabilities[rows].to(torch.float64)
            residual = (p @ basis - basis[targets[rows]]).to(dtype)
            curvature = class_covariance(p, basis).to(dtype)
            here = torch.einsum("nrk,nk->nr", own, position)
            middle = here
            for _ in range(2):  # the second time with J_iE_i at the middle of the window
                pull = residual + torch.einsum("nrs,ns->nr", curvature, middle)
                drive = shared - torch.einsum("nrk,nr->nk", own, pull) / rest
                moved = power[:, 0, 0] * position + power[:, 0, 1] * velocity + total[:, 0] * drive
                middle = (here + torch.einsum("nrk,nk->nr", own, moved)) / 2
            velocity = power[:, 1, 0] * position + power[:, 1, 1] * velocity + total[:, 1] * drive
            position = moved
        state[0][block] = position @ vectors.T
        state[1][block] = velocity @ vectors.T
