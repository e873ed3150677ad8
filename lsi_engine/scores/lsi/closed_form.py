"""Leave-one-out in closed form for a linear softmax probe at its optimum.

Notation (sum form, contrasts; see :mod:`lsi_engine.losses.softmax`): r_i = p_i − e_{y_i}, F_i = diag(p_i) − p_i p_iᵀ,
J_i = I ⊗ x̃_iᵀ, A = Σ_n J_nᵀF_nJ_n. Without sample i the penalty's curvature is

- γ = (N − 1)·wd when the loss is a mean over the remaining samples (``loo_prior="rescaled"``, the paper), or
- γ = N·wd when the prior is kept as it was (``loo_prior="fixed"``).

With G = A + γI, one Newton step from the optimum gives (exactly, but for the change of the other samples'
curvature, which is O(K/N) of the rest; not so for the covariance part, see curvature/posterior.py)

    Δ_i = θ₋ᵢ − θ = (G − J_iᵀF_iJ_i)⁻¹ (J_iᵀr_i + b),    b = wd·θ if rescaled, else 0,
        = G⁻¹J_iᵀw_i + u,    u = G⁻¹b,  S_i = J_iG⁻¹J_iᵀ,  w_i = (I − F_iS_i)⁻¹(r_i + F_iJ_iu),

so that the leave-one-out logits are f_i + S_iw_i + J_iu: only C × C blocks a sample are ever formed. The posterior
precision is P = A + δI with P₋ᵢ = P − J_iᵀF_iJ_i; or their diagonals, for which the change of the other samples'
curvature is followed to first order as well (:mod:`lsi_engine.curvature.diagonal`); or their diagonals in the Kronecker
factors' eigenbasis (:mod:`lsi_engine.curvature.kronecker`), and

    LSI_i = ½ Δ_iᵀP₋ᵢΔ_i  +  ½ [tr(P₋ᵢP⁻¹) − K − ln det(P₋ᵢP⁻¹)]    (paper, below Definition 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.curvature.diagonal import Coordinates, DiagonalPosterior
from lsi_engine.curvature.gauss_newton import ggn
from lsi_engine.curvature.kronecker import KroneckerCurvature
from lsi_engine.curvature.posterior import DiagonalParts, FullParts, Step, apply
from lsi_engine.losses.softmax import class_covariance, contrasts
from lsi_engine.numerics.design import BLOCK_ROWS, Design
from lsi_engine.numerics.grams import QuadraticForms
from lsi_engine.numerics.parallel import cores_of, in_parallel
from lsi_engine.numerics.products import inverse
from lsi_engine.progress import Progress, silent
from lsi_engine.settings import LooPrior
from lsi_engine.training.newton import LinearProbe
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: Below this many multiplications, double precision costs too little to be worth giving up.
DOUBLE_PRECISION_WORK = 4e10
#: δ and γ this close (relatively) are treated as equal in the full posterior: one factorisation instead of three.
#: With δ = N·wd and γ = (N − 1)·wd the difference is 1/N, far below the O(K/N) that the closed form leaves out.
SAME_PRIOR = 1e-3
#: A diagonal posterior follows the other samples' curvature to θ₋ᵢ up to this many samples a weight, and always when
#: that costs at most so many multiplications. It can cost more than all the rest together; see docs/methods.md.
FOLLOW = 4.0
FOLLOW_WORK = 2e11
#: Elements of the largest temporaries, (rows, C, D') a block, of all cores together.
BLOCK_ELEMENTS = 1 << 25


@dataclass(frozen=True)
class LeaveOneOut:
    """What leaving out each of n samples does; float64, rows in the order in which they were asked for.

    Attributes
    ----------
    mean_shift, covariance
        ``(n,)`` nats: the two parts of LSI.
    leverage
        ``(n,)`` tr(F_i S_i): the share of its own fitted logits that the sample determines; they sum to the probe's
        effective number of parameters.
    probabilities
        ``(n, C)`` class probabilities of the probe trained without the sample.
    notes
        What deserves a warning.
    error_estimate
        ``(n,)`` relative error of the shift Δ_i, ``nan`` where it was not looked at; ``None`` where nowhere was.
    """

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    leverage: torch.Tensor
    probabilities: torch.Tensor
    notes: tuple[str, ...] = ()
    error_estimate: torch.Tensor | None = None


def leave_one_out(
    objective: SoftmaxObjective,
    probe: LinearProbe,
    *,
    hessian: Literal["diag", "kron", "full"],
    prior_precision: float,
    loo_prior: LooPrior = "rescaled",
    index: NDArray[np.int64] | None = None,
    within: tuple[Design, torch.Tensor] | None = None,
    dtype: torch.dtype = torch.float64,
    progress: Progress = silent,
) -> LeaveOneOut:
    """Leave out each sample in turn.

    Parameters
    ----------
    hessian
        Structure of the Laplace posterior's precision. The shift Δ always uses the full Hessian of the fit.
    prior_precision
        δ, the same number in both posteriors.
    index
        ``(n,)`` rows to leave out; all when ``None``.
    within
        Where ``objective`` and ``probe`` are those of the span of the rows
        (:mod:`lsi_engine.training.row_space`): the design in the features' own coordinates, and V ``(D', r)``.
    dtype
        Of the large products; everything that is factorised or subtracted is float64.

    Raises
    ------
    InputError
        When the Hessian is not numerically positive definite.
    """
    design, classes = objective.design, objective.classes
    own, turn = within or (design, None)
    device = design.device
    basis = contrasts(classes, dtype=torch.float64, device=device)
    size = classes - 1
    p = objective.probabilities(probe.theta)
    regularised = ggn(design, p, basis, dtype=dtype, progress=progress)
    rescaled = loo_prior == "rescaled"
    gamma = (objective.samples - int(rescaled)) * objective.weight_decay

    regularised.diagonal().add_(gamma)
    g_inverse = inverse(regularised, lambda: f"the Hessian with weight decay {objective.weight_decay}")
    theta = basis.T @ probe.theta
    b = (objective.weight_decay if rescaled else 0.0) * theta
    u = (g_inverse @ b.reshape(-1)).view(size, -1)
    forms = QuadraticForms(g_inverse, size, dtype)

    count = objective.samples if index is None else len(index)
    posterior: DiagonalParts | FullParts
    if hessian == "full":
        excess = prior_precision - gamma
        excess = excess if abs(excess) > SAME_PRIOR * gamma else 0.0
        posterior = FullParts(regularised, g_inverse, forms, u, gamma, excess)
    elif hessian == "kron":
        kronecker = KroneckerCurvature(design, p, basis, progress=progress)
        place = Coordinates(kronecker.outputs, kronecker.turn.T.contiguous(), kronecker.inputs), kronecker.data
        follow = _followed(design, size, size)
        diagonal = DiagonalPosterior(
            design, p, basis, prior_precision, at=place, follow=follow, dtype=dtype, progress=progress
        )
        posterior = DiagonalParts(diagonal, g_inverse, u, kronecker.inputs.T)
    else:
        follow = _followed(own, size, classes)
        diagonal = DiagonalPosterior(own, p, basis, prior_precision, follow=follow, dtype=dtype, progress=progress)
        posterior = DiagonalParts(diagonal, g_inverse, u, turn, own=True)
    del g_inverse, regularised

    mean_shift = torch.empty(count, dtype=torch.float64, device=device)
    covariance, leverage = torch.empty_like(mean_shift), torch.empty_like(mean_shift)
    probabilities = p.new_empty(count, classes)
    eye = torch.eye(size, dtype=torch.float64, device=device)
    step = max(1, min(BLOCK_ROWS, BLOCK_ELEMENTS // (cores_of(device) * classes * own.columns)))

    def leave_out(block: tuple[slice, slice | torch.Tensor]) -> int:
        part, rows = block
        x = design.block(rows, dtype)
        x64 = x.to(torch.float64)
        own_x = x if turn is None else own.block(rows, dtype)
        p_block = p[rows]
        f = class_covariance(p_block, basis)
        residual = p_block @ basis - basis[objective.targets[rows]]
        s = forms(x)
        ju = x64 @ u.T
        fs = f @ s
        w = torch.linalg.solve(eye - fs, residual + apply(f, ju))
        shift = apply(s, w) + ju  # J_iΔ_i
        leverage[part] = fs.diagonal(dim1=1, dim2=2).sum(dim=1)
        probabilities[part] = torch.softmax(x64 @ probe.theta.T + shift @ basis.T, dim=1)
        mean_shift[part], covariance[part] = posterior.parts(Step(x, p_block, basis, f, s, w, ju, shift, own_x))
        return part.stop

    for done in in_parallel(leave_out, design.selected(index, step), device):
        progress("scores", done, count)
    return LeaveOneOut(mean_shift, covariance, leverage, probabilities)


def _followed(design: Design, size: int, outputs: int) -> bool:
    """Whether a diagonal posterior of ``outputs`` · D' entries follows the other samples' curvature to θ₋ᵢ."""
    work = float(design.rows) * outputs * size * design.columns**2
    return work <= FOLLOW_WORK or design.rows <= FOLLOW * size * design.columns
