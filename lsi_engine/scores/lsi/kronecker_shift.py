"""Leave-one-out where not even one full Hessian fits: shift and posterior both from the Kronecker-factored curvature.

The formulas are those of :mod:`lsi_engine.scores.lsi.closed_form` in the coordinates of
:mod:`lsi_engine.curvature.kronecker`, where G = A + γ is diagonal: S_i becomes diag(σ_i), σ_io = Σ_d z_id² /
(s_od + γ), and Δ_i = (w_io z_id + b_od) / (s_od + γ). Every sum over the C·D' weights is one matrix
product over all samples, so the cost is some thirty products of N · C · D' and the memory a few C × D' matrices.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.curvature.diagonal import shrinkage
from lsi_engine.curvature.kronecker import KroneckerCurvature
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics.design import Design
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.closed_form import LeaveOneOut
from lsi_engine.settings import LooPrior
from lsi_engine.training.newton import LinearProbe
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: Conjugate gradients for w_i stop at this relative residual.
TOLERANCE = 1e-10
#: Less curvature along a direction than this share of it means that the sample outweighs the factors there.
LEAST_CURVATURE = 1e-3
#: Elements of a block's largest temporary, (rows, C) or (rows, D').
BLOCK_ELEMENTS = 1 << 21


def leave_one_out_kronecker(
    objective: SoftmaxObjective,
    probe: LinearProbe,
    *,
    prior_precision: float,
    loo_prior: LooPrior = "rescaled",
    index: NDArray[np.int64] | None = None,
    progress: Progress = silent,
) -> LeaveOneOut:
    """Leave out every sample in turn; arguments as in :func:`lsi_engine.scores.lsi.closed_form.leave_one_out`.

    All in float64. The shift is that of the approximated Hessian, which the exact closed form's is not: see
    docs/methods.md for how far they agree.
    """
    design, device = objective.design, objective.design.device
    basis = contrasts(objective.classes, dtype=torch.float64, device=device)
    p = objective.probabilities(probe.theta)
    curvature = KroneckerCurvature(design, p, basis, progress=progress)
    rescaled = loo_prior == "rescaled"
    gamma = (objective.samples - int(rescaled)) * objective.weight_decay
    solve = 1 / (curvature.data + gamma)  # (R, D')
    precision = curvature.data + prior_precision
    b = (objective.weight_decay if rescaled else 0.0) * curvature.coordinates(basis.T @ probe.theta)
    u = b * solve
    spread = precision * solve.square()
    constant = float((spread * b.square()).sum())

    samples = objective.samples if index is None else len(index)
    mean_shift, covariance, leverage = (torch.empty(samples, dtype=torch.float64, device=device) for _ in range(3))
    probabilities, cut = p.new_empty(samples, objective.classes), 0
    for part, rows in design.selected(index, _rows(design, objective.classes)):
        x = design.block(rows, torch.float64)
        z, p_block = curvature.project(x), p[rows]
        squared, own = z.square(), curvature.own(p_block)
        residual = p_block @ curvature.outputs - curvature.outputs[objective.targets[rows]]
        sigma, ju = squared @ solve.T, z @ u.T
        w, short = _responses(p_block, curvature.outputs, sigma, residual, ju)
        shift, cut = sigma * w + ju, cut + short
        leverage[part] = (own * sigma).sum(dim=1)
        probabilities[part] = torch.softmax(x @ probe.theta.T + shift @ curvature.outputs.T, dim=1)
        # ½ Σ (s + δ − a z²) Δ², Δ = (w z + b) / (s + γ), multiplied out.
        whole = (w.square() * (squared @ spread.T) + 2 * w * (z @ (spread * b).T)).sum(dim=1) + constant
        quartic = w.square() * (squared.square() @ solve.square().T) + 2 * w * (squared * z @ (u * solve).T)
        mean_shift[part] = (whole - (own * (quartic + squared @ u.square().T)).sum(dim=1)) / 2
        covariance[part] = shrinkage(own, squared, precision)
        progress("scores", part.stop, samples)
    notes = (
        f"{cut:,} sample(s) have more curvature of their own than the Kronecker factors give all samples together in "
        "some direction; their shift was cut short there, and they are among the most informative ones",
    )
    return LeaveOneOut(mean_shift, covariance, leverage, probabilities, notes if cut else ())


def _rows(design: Design, classes: int) -> int:
    return max(1, BLOCK_ELEMENTS // max(classes, design.columns))


def _responses(
    p: torch.Tensor, outputs: torch.Tensor, sigma: torch.Tensor, residual: torch.Tensor, ju: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """w = (I − FS)⁻¹(r + FJu) ``(n, R)``, S = diag(σ), without ever forming the R × R matrices F; and how many had to
    be cut short.

    w = k + F√S v with (I − √S F √S) v = √S k, k = r + FJu: symmetric, with eigenvalues 1 − leverage, so that
    conjugate gradients, run for all samples at once, need few steps.
    """

    def curved(v: torch.Tensor) -> torch.Tensor:
        lifted = v @ outputs.T
        weighted = p * lifted
        return (weighted - p * weighted.sum(dim=1, keepdim=True)) @ outputs

    root = sigma.sqrt()
    known = residual + curved(ju)
    right = root * known
    v = torch.zeros_like(right)
    rest, direction = right, right
    energy = rest.square().sum(dim=1, keepdim=True)
    target = TOLERANCE**2 * energy
    cut = torch.zeros_like(energy, dtype=torch.bool)
    for _ in range(p.shape[1]):
        active = (energy > target) & ~cut
        if not bool(active.any()):
            break
        product = direction - root * curved(root * direction)
        curvature = (direction * product).sum(dim=1, keepdim=True)
        # The factors can give a direction less curvature than one sample has: no Newton step exists there.
        cut |= active & (curvature <= LEAST_CURVATURE * direction.square().sum(dim=1, keepdim=True))
        length = torch.where(active & ~cut, energy / curvature, 0)
        v = v + length * direction
        rest = rest - length * product
        previous, energy = energy, rest.square().sum(dim=1, keepdim=True)
        direction = rest + torch.where(active, energy / previous, 0) * direction
    return known + curved(root * v), int(cut.sum())
