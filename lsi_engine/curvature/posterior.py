"""Both parts of LSI under each structure of the posterior, given what leaving samples out does to the probe.

The notation is that of :mod:`lsi_engine.scores.lsi.closed_form`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from lsi_engine.curvature.diagonal import DiagonalPosterior
from lsi_engine.numerics.divergence import x_minus_log1p
from lsi_engine.numerics.grams import QuadraticForms
from lsi_engine.numerics.products import inverse, product, square

#: Where the prior's excess over the fit's penalty is so small a share of it, P⁻¹ follows from G⁻² to 1e-5.
SMALL_EXCESS = 3e-3

Parts = tuple[torch.Tensor, torch.Tensor]


class Step(NamedTuple):
    """Leaving out each of n samples, one at a time; float64 but for ``x``.

    ``x (n, D')`` in the products' dtype, ``p (n, C)``, ``basis`` Q ``(C, R)``, ``f`` and ``s (n, R, R)``, ``w (n, R)``,
    ``ju`` J_iu and ``shift`` J_iΔ_i ``(n, R)``. ``own_x (n, D')``: the rows in the features' own coordinates, where
    ``x`` and G are in those of the span of all rows; else ``x`` itself.
    """

    x: torch.Tensor
    p: torch.Tensor
    basis: torch.Tensor
    f: torch.Tensor
    s: torch.Tensor
    w: torch.Tensor
    ju: torch.Tensor
    shift: torch.Tensor
    own_x: torch.Tensor

    def deltas(self, columns: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Δ_i ``(n, R, D')`` in the coordinates of G⁻¹'s ``columns`` (a row a kick, R·D') and ``u (R, D')``."""
        dtype = self.x.dtype
        kicks = (self.w.to(dtype)[:, :, None] * self.x[:, None, :]).flatten(1)  # J_iᵀw_i
        return product(kicks, columns).view(len(self.x), *u.shape).add_(u)


class DiagonalParts:
    """A posterior that is diagonal in some coordinates; see :mod:`lsi_engine.curvature.diagonal`.

    ``turn (D'', D')`` leads from G's features to the posterior's: its directions, or out of the span of the rows to the
    features' own (``own``: it then takes the rows in those).
    """

    def __init__(
        self,
        posterior: DiagonalPosterior,
        g_inverse: torch.Tensor,
        u: torch.Tensor,
        turn: torch.Tensor | None = None,
        *,
        own: bool = False,
    ) -> None:
        self.posterior, self.own = posterior, own
        if turn is not None:
            g_inverse = (g_inverse.reshape(-1, u.shape[1]) @ turn.T).reshape(len(g_inverse), -1)
            u = u @ turn.T
        self.columns, self.u = g_inverse.to(posterior.dtype), u.to(posterior.dtype)

    def parts(self, step: Step) -> Parts:
        x = step.own_x if self.own else step.x
        return self.posterior.parts(x, step.p, step.deltas(self.columns, self.u), step.shift)


class FullParts:
    """The full posterior P = G + excess·I, so that G⁻¹PG⁻¹ = G⁻¹ + excess·G⁻².

    With no excess all of it is in S. A small one, excess ≤ ``SMALL_EXCESS`` · γ, needs G⁻² as well: P⁻¹ = G⁻¹ −
    excess·G⁻² but for a share (excess / γ)², since no eigenvalue of G is below γ. Else P is inverted too.

    The other samples' curvature stays that at θ. That moves the covariance part in the first order of what it is
    (``python -m benchmarks.exactness``), and the mean shift hardly at all.
    """

    def __init__(
        self,
        regularised: torch.Tensor,
        g_inverse: torch.Tensor,
        forms: QuadraticForms,
        u: torch.Tensor,
        gamma: float,
        excess: float,
    ) -> None:
        flat = u.reshape(-1)
        self.u_energy = float(flat @ (regularised @ flat) + excess * flat @ flat)  # uᵀPu
        self.weighted: QuadraticForms | None = None
        if not excess:
            return
        size = len(u)
        correction = excess * square(g_inverse)
        self.weighted = QuadraticForms(g_inverse + correction, size, forms.dtype)
        self.cross = (flat + excess * (g_inverse @ flat)).view_as(u)  # G⁻¹Pu
        if abs(excess) <= SMALL_EXCESS * gamma:
            self.covariance = QuadraticForms(g_inverse - correction, size, forms.dtype)
            return
        regularised.diagonal().add_(excess)
        covariance = inverse(regularised, lambda: f"the posterior precision (prior {excess:+.3g} from the fit's)")
        self.covariance = QuadraticForms(covariance, size, forms.dtype)

    def parts(self, step: Step) -> Parts:
        if self.weighted is None:
            whole, spread = (step.w * (step.shift + step.ju)).sum(dim=1), step.s  # wᵀSw + 2wᵀJu
        else:
            cross = step.x.to(torch.float64) @ self.cross.T
            whole = (step.w * (apply(self.weighted(step.x), step.w) + 2 * cross)).sum(dim=1)
            spread = self.covariance(step.x)
        own = (step.shift * apply(step.f, step.shift)).sum(dim=1)
        return (whole + self.u_energy - own) / 2, covariance_part(step.p, step.basis, spread)


def apply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """``(n, R, R)`` times ``(n, R)``."""
    return torch.einsum("nab,nb->na", matrices, vectors)


def covariance_part(p: torch.Tensor, basis: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """½ Σ (x − log1p x) over the eigenvalues x of −F^½ (J P⁻¹ Jᵀ) F^½.

    F = BᵀB with B = diag(√p)(I − 1pᵀ)Q, which needs no factorisation of the nearly singular F.
    """
    root = p.sqrt()[:, :, None] * (basis - (p @ basis)[:, None, :])
    relative = torch.linalg.eigvalsh(root @ spread @ root.transpose(1, 2))
    return x_minus_log1p(-relative).sum(dim=1) / 2
