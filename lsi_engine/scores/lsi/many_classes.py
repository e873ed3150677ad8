"""Leave-one-out where not even one full Hessian fits: a block of it a class, and true residuals where it matters.

The shift Δ_i is that of the class blocks (:mod:`lsi_engine.curvature.class_blocks`), which leave out what couples the
classes. For the samples of the highest LSI and of the highest leverage it is then **refined**: the gradient at θ + Δ_i
without the sample, over all other samples, is formed and stepped against until next to nothing of it is left. The same
gradient, taken for some samples at random, says how far the others are off.

The posterior is either of

- ``"blocks"``: P = B + (δ − γ)I, the nearest to the full one, whose own ½ΔᵀP₋ᵢΔ the refined samples get, and
- ``"kron"``: diagonal in the Kronecker factors' eigenbasis (:mod:`lsi_engine.curvature.kronecker`), which holds all
  inverses at once and has one more pass of N · C · D' · (C + D').

But for that, the other samples' curvature stays that at θ.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.curvature.class_blocks import ClassBlocks, ClassParts
from lsi_engine.curvature.diagonal import shrinkage
from lsi_engine.curvature.kronecker import KroneckerCurvature
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics.design import BLOCK_ROWS, PASS_ROWS
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import product
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.closed_form import LeaveOneOut
from lsi_engine.settings import LooPrior
from lsi_engine.training.newton import LinearProbe
from lsi_engine.training.refinement import Refinement
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: So many samples of the highest LSI, and as many of the highest leverage, are refined; more where all of it stays
#: below so many multiplications.
REFINED, REFINED_WORK = 40, 5e10
#: Steps of a refinement at the most.
MOST_STEPS = 8
#: So many of the other samples, at random, are asked how far they are off; the median is a warning above this.
CHECKED, LARGEST_ERROR = 20, 0.1
#: Elements of Δ ``(rows, C, D')`` that one core holds.
DELTA_ELEMENTS = 1 << 24


def leave_one_out_class_blocks(
    objective: SoftmaxObjective,
    probe: LinearProbe,
    *,
    structure: Literal["blocks", "kron"],
    prior_precision: float,
    loo_prior: LooPrior = "rescaled",
    index: NDArray[np.int64] | None = None,
    dtype: torch.dtype = torch.float64,
    progress: Progress = silent,
) -> LeaveOneOut:
    """Leave out every sample in turn; arguments as in :func:`lsi_engine.scores.lsi.closed_form.leave_one_out`.

    Where all inverses together do not fit, nothing is refined, and only ``"blocks"`` can be had.

    Raises
    ------
    InputError
        When a class's Hessian is not numerically positive definite.
    """
    design, device = objective.design, objective.design.device
    p = objective.probabilities(probe.theta)
    rescaled = loo_prior == "rescaled"
    gamma = (objective.samples - int(rescaled)) * objective.weight_decay
    rows: slice | torch.Tensor = slice(None) if index is None else torch.as_tensor(index, device=device)
    kronecker: KroneckerCurvature | None = None
    if structure == "kron":
        basis = contrasts(objective.classes, dtype=torch.float64, device=device)
        kronecker = KroneckerCurvature(design, p, basis, progress=progress)
    inputs = None if kronecker is None else kronecker.inputs
    blocks = ClassBlocks(design, p, objective.targets, gamma, dtype=dtype, inputs=inputs)
    left_out = _ClassByClass(objective, probe.theta, blocks, p, rows, rescaled)
    result = left_out.run(prior_precision, progress)
    posterior = None if kronecker is None else _KroneckerPosterior(kronecker, blocks, prior_precision)
    if posterior is not None:
        posterior.score(left_out, result, progress)
    notes: list[str] = []
    if left_out.inverses is not None:
        notes += _refine(left_out, result, prior_precision, posterior, progress)
    above = int((result.mean_shift > left_out.ceiling(prior_precision)).sum())
    if above:
        notes.append(
            f"{above:,} sample(s) have a mean shift above what any shift of a full posterior could come to, "
            "½(‖r‖‖x̃‖ + wd‖θ‖)²/γ: this structure of the posterior overstates them"
            + ("; hessian='auto' chooses another" if structure == "kron" else "")
        )
    return LeaveOneOut(
        result.mean_shift, result.covariance, result.leverage, result.probabilities, tuple(notes), result.error_estimate
    )


class _ClassByClass:
    """Shifts and the posterior ``"blocks"``, one class at a time.

    ``w (n, C)``, ``u (C, D')``: Δ_ic = w_ic B_c⁻¹x̃_i + u_c. ``inverses (C, D', D')`` where they fit, else ``None``.
    """

    def __init__(
        self,
        objective: SoftmaxObjective,
        theta: torch.Tensor,
        blocks: ClassBlocks,
        p: torch.Tensor,
        rows: slice | torch.Tensor,
        rescaled: bool,
    ) -> None:
        self.objective, self.theta, self.blocks, self.p, self.rows = objective, theta, blocks, p, rows
        self.residual = p.clone()
        self.residual[torch.arange(len(p), device=p.device), objective.targets] -= 1
        self.pull = (objective.weight_decay if rescaled else 0.0) * theta @ blocks.inputs
        self.where = torch.arange(len(p), device=p.device)[rows]
        self.w = p.new_empty(len(self.where), blocks.classes)
        self.u = torch.zeros_like(theta)
        self.inverses = blocks.new_inverses() if blocks.resident else None

    def run(self, prior_precision: float, progress: Progress) -> LeaveOneOut:
        blocks, samples = self.blocks, len(self.where)
        mean_shift, covariance, leverage = (self.p.new_zeros(samples) for _ in range(3))
        logits = torch.empty_like(self.w)

        def one(c: int) -> tuple[int, ClassParts]:
            p, residual = self.p[self.rows, c], self.residual[self.rows, c]
            inverse = None if self.inverses is None else self.inverses[c]
            excess = prior_precision - blocks.ridge
            return c, blocks.leave_out(c, self.rows, p, residual, self.pull[c], excess, inverse)

        for c, parts in in_parallel(one, range(blocks.classes), self.p.device):
            self.w[:, c], self.u[c], logits[:, c] = parts.w, parts.u, parts.logits
            mean_shift += parts.mean_shift
            # C blocks stand for C − 1 contrasts: the direction that does not count is as curved as the others.
            covariance += (blocks.classes - 1) / blocks.classes * parts.covariance
            leverage += parts.leverage
            progress("scores", c + 1, blocks.classes + 1)
        for start in range(0, samples, BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            logits[part] = self.left_out_probabilities(self.where[part], logits[part])
        progress("scores", samples, samples)
        unknown = torch.full_like(mean_shift, float("nan"))
        return LeaveOneOut(mean_shift, covariance, leverage, logits, (), unknown)

    def left_out_probabilities(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """``(n, C)`` of the probe whose logits have changed by ``logits``."""
        x = self.objective.design.block(rows, torch.float64)
        return torch.softmax(product(x, self.theta.T.contiguous()) + logits, dim=1)

    def deltas(self, part: slice) -> torch.Tensor:
        """Δ ``(C, n, D')`` in the coordinates z of a part of the rows."""
        assert self.inverses is not None
        z, w, blocks = self.blocks.rows[self.where[part]], self.w[part].to(self.blocks.dtype), self.blocks
        out = blocks.diagonal.reciprocal().to(z.dtype)[:, None, :] * z
        for c in range(blocks.classes):
            member = blocks.members(c, self.where[part])
            out[c, member] = product(z[member], self.inverses[c])
        return out.mul_(w.T[:, :, None]).add_(self.u.to(z.dtype)[:, None, :])

    def ceiling(self, prior_precision: float) -> torch.Tensor:
        """Nats ``(n,)`` that ½ ΔᵀP₋ᵢΔ cannot exceed under the Hessian of the shift, whatever the sample."""
        gamma = self.blocks.ridge
        pushed = self.residual[self.rows].norm(dim=1) * self.blocks.rows[self.rows].double().norm(dim=1)
        return (pushed + self.pull.norm()).square() / (2 * gamma) * max(1.0, prior_precision / gamma) * (1 + 1e-9)


class _KroneckerPosterior:
    """Both parts of LSI under the Kronecker-factored posterior, whatever the shift."""

    def __init__(self, curvature: KroneckerCurvature, blocks: ClassBlocks, prior_precision: float) -> None:
        self.curvature, self.blocks = curvature, blocks
        self.precision = curvature.data + prior_precision
        self.turn = curvature.outputs.T.to(blocks.dtype).contiguous()

    def score(self, left_out: _ClassByClass, result: LeaveOneOut, progress: Progress) -> None:
        """Write both parts of all rows into ``result``."""
        samples = len(left_out.where)
        step = max(1, min(PASS_ROWS, DELTA_ELEMENTS // (self.blocks.classes * self.blocks.columns)))

        def some(start: int) -> int:
            part = slice(start, min(start + step, samples))
            rows = left_out.where[part]
            own, squared = self.curvature.own(left_out.p[rows]), self.blocks.rows[rows].square()
            result.mean_shift[part] = self.mean_shift(left_out.deltas(part), own, squared)
            result.covariance[part] = shrinkage(own, squared.double(), self.precision)
            return part.stop

        for done in in_parallel(some, range(0, samples, step), self.precision.device):
            progress("scores", done, samples)

    def mean_shift(self, delta: torch.Tensor, own: torch.Tensor, squared: torch.Tensor) -> torch.Tensor:
        """``(n,)`` of Δ ``(C, n, D')``; the sample's own term is own ``(n, R)`` times squared ``(n, D')``."""
        energy = product(self.turn, delta.flatten(1)).square_().view(-1, *squared.shape)  # (R, n, D')
        whole = torch.bmm(energy, self.precision.to(energy.dtype)[:, :, None])[:, :, 0].double().sum(dim=0)
        return (whole - (own * torch.einsum("ond,nd->no", energy, squared).double()).sum(dim=1)) / 2


def _refine(
    left_out: _ClassByClass,
    result: LeaveOneOut,
    prior_precision: float,
    posterior: _KroneckerPosterior | None,
    progress: Progress,
) -> list[str]:
    """Refine the rows of ``result`` that matter, and estimate the error of some others; what deserves a warning."""
    assert result.error_estimate is not None
    assert left_out.inverses is not None
    count, blocks = len(left_out.where), left_out.blocks
    # Three gradients of two products each; what lies between them takes as long as some 25 columns.
    each = 12.0 * len(left_out.p) * blocks.classes * (blocks.columns + 25)
    most = min(count, max(REFINED, int(REFINED_WORK / each)))
    highest = [rank.topk(most).indices for rank in (result.mean_shift + result.covariance, result.leverage)]
    refined = torch.cat(highest).unique().tolist()
    draw = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    most_needed = set(refined)
    checked = [k for k in draw if k not in most_needed][:CHECKED]

    refine = Refinement(
        left_out.objective.design, blocks, left_out.inverses, left_out.p, left_out.residual, left_out.pull
    )

    def improve(k: int) -> tuple[int, torch.Tensor, float]:
        start = left_out.deltas(slice(k, k + 1))[:, 0]
        return k, *refine(int(left_out.where[k]), start, MOST_STEPS if k in most_needed else 0)

    for done, (k, delta, estimate) in enumerate(in_parallel(improve, refined + checked, left_out.p.device)):
        result.error_estimate[k] = estimate
        if k in most_needed:
            i = left_out.where[k : k + 1]
            z = blocks.rows[i]
            result.probabilities[k] = left_out.left_out_probabilities(i, product(z, delta.T.contiguous()).double())[0]
            if posterior is None:
                result.mean_shift[k] = refine.energy(int(i), delta, prior_precision)
            else:
                own = posterior.curvature.own(left_out.p[i])
                result.mean_shift[k] = posterior.mean_shift(delta[:, None, :], own, z.square())[0]
        progress("refinement", done + 1, len(refined) + len(checked))
    if not checked:
        return []
    typical = float(result.error_estimate[torch.as_tensor(checked, device=left_out.p.device)].median())
    if typical <= LARGEST_ERROR:
        return []
    return [
        f"the shifts are those of one Hessian block a class and are off by about {typical:.0%} (the median of "
        f"{len(checked)} random samples); those of the {len(refined)} samples of the highest LSI and leverage are "
        "refined. hessian='full' has no such error: it takes fewer features or classes, or a machine with more memory"
    ]
