"""Fitting a linear probe to its optimum: Newton steps, however they are solved for, halved until the loss falls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from lsi_engine.errors import NotConverged
from lsi_engine.progress import Progress, silent
from lsi_engine.training.conjugate_gradients import ConjugateGradients
from lsi_engine.training.linear_objective import LinearObjective
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: Of the fit on a sample that a large fit starts from.
WARM_TOLERANCE = 1e-4
MAXIMUM_NEWTON_STEPS = 100
MAXIMUM_HALVINGS = 40
#: A stalled fit counts as converged below this gradient norm, relative to a sample's own gradient.
ROUNDING = 1e-10

#: From Θ, ∇L, the share of the first gradient that is left, and who to report to, to the step −H⁻¹∇L or close to it.
InnerSolve = Callable[[torch.Tensor, torch.Tensor, float, Progress], torch.Tensor]


@dataclass(frozen=True)
class LinearProbe:
    """A fitted linear probe.

    Attributes
    ----------
    theta
        ``(O, D + 1)`` float64, bias last, in the units of the scaled features.
    gradient_norm
        ‖∇L‖ / N (the mean form's), at ``theta``.
    loss
        The mean form's loss, penalty included.
    newton_steps, hessian_products
        Steps taken, and products with the Hessian that they took.
    preconditioner_rows
        Rows over which Hessians were summed for the preconditioner.
    """

    theta: torch.Tensor
    gradient_norm: float
    loss: float
    newton_steps: int
    hessian_products: int = 0
    preconditioner_rows: int = 0

    @property
    def weight(self) -> torch.Tensor:
        return self.theta[:, :-1]

    @property
    def bias(self) -> torch.Tensor:
        return self.theta[:, -1]


def fit_linear_probe(
    objective: LinearObjective,
    *,
    tolerance: float = 1e-10,
    start: torch.Tensor | None = None,
    factorised: int | None = None,
    progress: Progress = silent,
) -> LinearProbe:
    """Minimise the objective: by conjugate gradients for softmax, by the inverse of the Hessian's blocks for others.

    Parameters
    ----------
    tolerance
        Stop when ‖∇L‖ / N ≤ ``tolerance`` · (1 + rms row norm of X̃): relative to the size of one sample's gradient.
    start
        ``(O, D')`` initial weights; zeros when ``None``. The optimum does not depend on it.
    factorised
        As in :class:`~lsi_engine.training.conjugate_gradients.ConjugateGradients`. Started near the optimum and for a
        loose tolerance, class blocks take less time than a factorisation.

    Raises
    ------
    NotConverged
        When no step lowers the loss any further and the gradient is still above the tolerance.
    InputError
        When the loss is not convex.
    """
    design = objective.design
    theta = (
        torch.zeros(objective.outputs, design.columns, dtype=torch.float64, device=design.device)
        if start is None
        else start.to(design.device, torch.float64).clone()
    )
    if not isinstance(objective, SoftmaxObjective):
        return _newton(objective, theta, _block_inverses(objective), tolerance, progress)
    # Only the component along (1, …, 1) over classes is free of curvature from the data; its optimum is 0.
    theta -= theta.mean(dim=0)
    solver = ConjugateGradients(objective, factorised)
    sample = solver.warm_sample() if start is None else None
    if sample is not None:
        theta = fit_linear_probe(sample, tolerance=WARM_TOLERANCE, progress=_repeating(progress, 0)).theta
        solver.renew(theta, _repeating(progress, 0))
    fitted = _newton(objective, theta, solver, tolerance, progress)
    return replace(fitted, hessian_products=solver.hessian_products, preconditioner_rows=solver.preconditioner_rows)


def _block_inverses(objective: LinearObjective) -> InnerSolve:
    """Newton steps by the inverse of each block of the Hessian."""

    def step(theta: torch.Tensor, gradient: torch.Tensor, left: float, report: Progress) -> torch.Tensor:
        hessian = objective.hessian(theta, progress=report)
        inverses = objective.block_inverses(hessian, objective.ridge, "the fit's Hessian")
        return -(inverses @ gradient.view(objective.blocks, -1, 1)).view_as(theta)

    return step


def _newton(
    objective: LinearObjective, theta: torch.Tensor, solve: InnerSolve, tolerance: float, progress: Progress
) -> LinearProbe:
    """Newton's method from ``theta``; see :func:`fit_linear_probe`."""
    unit = 1 + objective.design.rms_row_norm()
    threshold, steps = tolerance * unit, 0
    value, gradient = objective.value_and_gradient(theta)
    norm = first = float(gradient.norm()) / objective.samples
    while norm > threshold:
        report = _repeating(progress, _percent(norm, first, threshold))
        advance = None
        if steps < MAXIMUM_NEWTON_STEPS:
            step = solve(theta, gradient, norm / max(first, 1e-300), report)
            advance = _line_search(objective, theta, value, gradient, step)
            # Where double precision itself ends, a tighter tolerance cannot be met and need not be.
            if advance is None and norm <= ROUNDING * unit:
                break
        if advance is None:
            raise NotConverged(
                f"the {objective.objective.name} probe's fit stopped after {steps} Newton steps at gradient norm "
                f"{norm:.2e}, above {threshold:.2e}: standardise the features (feature_scaling='standardize') or raise "
                "weight_decay"
            )
        theta, value, gradient = advance
        norm = float(gradient.norm()) / objective.samples
        steps += 1
    progress("fit", 100, 100)
    return LinearProbe(theta, norm, value / objective.samples, steps)


def _line_search(
    objective: LinearObjective, theta: torch.Tensor, value: float, gradient: torch.Tensor, step: torch.Tensor
) -> tuple[torch.Tensor, float, torch.Tensor] | None:
    """Halve the step until the loss falls enough (Armijo), allowing for rounding near the optimum; None if it never
    does."""
    slope = float((gradient * step).sum())
    for halvings in range(MAXIMUM_HALVINGS):
        length = 0.5**halvings
        candidate = theta + length * step
        new_value, new_gradient = objective.value_and_gradient(candidate)
        lower = new_value < value and new_value <= value + 1e-4 * length * slope
        # Near the optimum the loss stops resolving progress before the gradient does.
        flat = new_value <= value + 1e-13 * abs(value) and float(new_gradient.norm()) < float(gradient.norm())
        if lower or flat:
            return candidate, new_value, new_gradient
    return None


def _percent(norm: float, first: float, threshold: float) -> int:
    """Share of the decades between the first gradient norm and the threshold, in per cent."""
    span = math.log(max(first / threshold, 1.0 + 1e-9))
    return min(99, max(0, round(100 * math.log(max(first / norm, 1.0)) / span)))


def _repeating(progress: Progress, percent: int) -> Progress:
    """Says where the fit is, whatever the part of it that asks: the work can be cancelled there, and moves only on."""
    return lambda stage, done, total: progress("fit", percent, 100)
