"""Leave-one-out in closed form for any convex loss on linear logits.

The formulas are those of :mod:`lsi_engine.scores.lsi.closed_form`; r_i, F_i come from an
:class:`~lsi_engine.losses.objective.Objective` and everything is done block by block of the Hessian (see
:mod:`lsi_engine.training.linear_objective`), whose parts of LSI add up. For a quadratic loss (Gaussian regression) one
Newton step *is* the refit, and S_i its hat-matrix identity: nothing is approximated.

Away from the optimum, as at the head of a network that someone else trained, the leftover gradient g = ∇L(Θ) is common
to all samples. It is left out of Δ_i: the head without sample i is taken to stop as short of its optimum as the
given one. ``leftover`` and ``kick`` say how much that is: gᵀG⁻¹g against the mean of (J_iᵀr_i)ᵀG⁻¹(J_iᵀr_i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from lsi_engine.curvature.diagonal import LARGEST_CHANGE
from lsi_engine.numerics.divergence import x_minus_log1p
from lsi_engine.numerics.grams import QuadraticForms
from lsi_engine.progress import Progress, silent
from lsi_engine.settings import LooPrior
from lsi_engine.training.linear_objective import LinearObjective, curvature_root


@dataclass(frozen=True)
class ObjectiveLeaveOneOut:
    """Float64, rows in the dataset's order.

    Attributes
    ----------
    mean_shift, covariance
        ``(N,)`` nats: the two parts of LSI.
    leverage
        ``(N,)`` tr(F_iS_i).
    loss
        ``(N,)`` nats: the sample's own loss under the probe trained without it.
    logits
        ``(N, O)`` of the sample, without it.
    leftover, kick
        Squared distances in the Hessian's metric: to the optimum, and the mean one that a sample moves the probe by.
    """

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    leverage: torch.Tensor
    loss: torch.Tensor
    logits: torch.Tensor
    leftover: float
    kick: float


def leave_one_out_objective(
    problem: LinearObjective,
    theta: torch.Tensor,
    *,
    hessian: Literal["diag", "full"],
    prior_precision: float,
    loo_prior: LooPrior = "rescaled",
    progress: Progress = silent,
) -> ObjectiveLeaveOneOut:
    """Leave out every sample in turn at ``theta (O, D')`` float64; arguments as in ``closed_form.leave_one_out``.

    Raises
    ------
    InputError
        When the loss is not convex at ``theta``, or the Hessian not numerically positive definite.
    """
    blocks, size, samples = problem.blocks, problem.size, problem.samples
    shape = (problem.outputs, problem.design.columns)
    rescaled = loo_prior == "rescaled"
    gamma = (samples - int(rescaled)) * problem.weight_decay
    curvature = problem.hessian(theta, progress=progress)
    g_inverse = problem.block_inverses(curvature, gamma, f"the Hessian with weight decay {problem.weight_decay}")
    b = (problem.weight_decay if rescaled else 0.0) * theta.reshape(blocks, -1, 1)
    u = g_inverse @ b  # (B, R·D', 1)
    constant = float((b * u).sum())
    leftover = problem.value_and_gradient(theta)[1].view(blocks, -1, 1)
    forms = _Forms(problem, g_inverse)
    weighted = spread = cross = diagonal = None
    if hessian == "diag":
        diagonal = _Diagonal(problem, theta, curvature, prior_precision, progress)
    elif prior_precision != gamma:
        excess = prior_precision - gamma
        # P = G + excess·I, so G⁻¹PG⁻¹ = G⁻¹ + excess·G⁻², G⁻¹Pu = u + excess·G⁻¹u and uᵀPu = uᵀb + excess·uᵀu.
        weighted = _Forms(problem, g_inverse + excess * (g_inverse @ g_inverse))
        spread = _Forms(problem, problem.block_inverses(curvature, prior_precision, "the posterior precision"))
        cross = (u + excess * (g_inverse @ u)).view(shape)
        constant += excess * float(u.square().sum())
    del curvature

    mean_shift, covariance, leverage, loss = (theta.new_empty(samples) for _ in range(4))
    loo_logits = theta.new_empty(samples, problem.outputs)
    kick = 0.0
    eye = torch.eye(size, dtype=torch.float64, device=theta.device)
    for rows in problem.row_blocks():
        x, y = problem.design.block(rows, torch.float64), problem.targets[rows]
        logits = x @ theta.T
        f = problem.block_curvature(logits, rows)  # (n, B, R, R)
        root = curvature_root(f, rows.start, problem.objective.name)
        r = problem.objective.residual(logits, y).view(-1, blocks, size)
        s = forms(x)
        fs = f @ s
        ju = (x @ u.view(shape).T).view_as(r)
        w = torch.linalg.solve(eye - fs, r + _apply(f, ju))
        shift = _apply(s, w) + ju  # J_iΔ_i
        kick += float((r * _apply(s, r)).sum())
        leverage[rows] = fs.diagonal(dim1=2, dim2=3).sum(dim=(1, 2))
        loo_logits[rows] = logits + shift.flatten(1)
        loss[rows] = problem.objective.values(loo_logits[rows], y)
        if diagonal is not None:
            kicks = (w[..., None] * x[:, None, None, :]).flatten(2)  # J_iᵀw_i, (n, B, R·D')
            delta = (kicks.transpose(0, 1) @ g_inverse + u.transpose(1, 2)).transpose(0, 1)
            mean_shift[rows], covariance[rows] = diagonal.parts(x, f, problem.block_slope(logits, rows), delta, shift)
        else:
            whole = (w * (shift + ju)).sum(dim=(1, 2)) + constant  # wᵀSw + 2wᵀJu + uᵀGu
            if weighted is not None and cross is not None:
                whole = (w * (_apply(weighted(x), w) + 2 * (x @ cross.T).view_as(w))).sum(dim=(1, 2)) + constant
            mean_shift[rows] = (whole - (shift * _apply(f, shift)).sum(dim=(1, 2))) / 2
            relative = torch.linalg.eigvalsh(root @ (s if spread is None else spread(x)) @ root)
            covariance[rows] = x_minus_log1p(-relative).sum(dim=(1, 2)) / 2
        progress("scores", rows.stop, samples)
    distance = float((leftover * (g_inverse @ leftover)).sum())
    return ObjectiveLeaveOneOut(mean_shift, covariance, leverage, loss, loo_logits, distance, kick / samples)


def _apply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return (matrices @ vectors[..., None])[..., 0]


class _Forms:
    """x ↦ J M Jᵀ ``(n, B, R, R)`` for block matrices M."""

    def __init__(self, problem: LinearObjective, matrices: torch.Tensor) -> None:
        self.blocks = problem.blocks
        self.forms = [QuadraticForms(matrix, problem.size, torch.float64) for matrix in matrices]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        stacked = torch.stack([form(x) for form in self.forms], dim=1)
        return stacked.expand(-1, self.blocks, -1, -1)


class _Diagonal:
    """The diagonal posterior, which follows the other samples' curvature; see :mod:`lsi_engine.curvature.diagonal`."""

    def __init__(
        self,
        problem: LinearObjective,
        theta: torch.Tensor,
        curvature: torch.Tensor,
        prior_precision: float,
        progress: Progress,
    ) -> None:
        blocks, size, columns = problem.blocks, problem.size, problem.design.columns
        self.data = curvature.diagonal(dim1=1, dim2=2).expand(blocks, -1)  # (B, R·D')
        self.precision = self.data + prior_precision
        self.response: torch.Tensor | None = None
        if problem.objective.constant_curvature:
            return
        # change of output o's diagonal for a shift of output k's weights: [B, k·D' + e, o, d]
        response = theta.new_zeros(problem.distinct * size * columns, size, columns)
        for rows in problem.row_blocks():
            x = problem.design.block(rows, torch.float64)
            squared, slope = x.square(), problem.block_slope(x @ theta.T, rows)[:, : problem.distinct]
            for o in range(size):
                response[:, o] += (slope[:, :, o, :, None] * x[:, None, None, :]).flatten(1).T @ squared
            progress("curvature", rows.stop, problem.samples)
        self.response = response.view(problem.distinct, size * columns, size * columns)

    def parts(
        self, x: torch.Tensor, f: torch.Tensor, slope: torch.Tensor, delta: torch.Tensor, shift: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both parts of LSI ``(n,)``: delta ``(n, B, R·D')``, F and slope ``(n, B, R, R)``, J_iΔ_i ``(n, B, R)``."""
        squared = x.square()[:, None, None, :]
        own = (f.diagonal(dim1=2, dim2=3)[..., None] * squared).flatten(2)
        kept = (self.data - own).clamp(min=0)
        added = -own
        if self.response is not None:
            change = (delta.transpose(0, 1) @ self.response).transpose(0, 1)
            change = change - (_apply(slope, shift)[..., None] * squared).flatten(2)
            exponent = torch.where(kept > 0, change / kept, 0).clamp(-LARGEST_CHANGE, LARGEST_CHANGE)
            added = kept * torch.expm1(exponent) - own
        mean_shift = ((self.precision + added) * delta.square()).sum(dim=(1, 2)) / 2
        return mean_shift, x_minus_log1p(added / self.precision).sum(dim=(1, 2)) / 2
