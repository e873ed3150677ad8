"""The posterior without one group: its shift, its spread, and what they cost in nats.

The notation is that of :mod:`lsi_engine.scores.lsi.groups`. Two ways lead there: a small group is a low-rank change of
the shared factorisation, a large one leaves less to factorise than it holds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.curvature.gauss_newton import ggn, ggn_diagonal
from lsi_engine.losses.softmax import class_covariance, contrasts
from lsi_engine.numerics.divergence import x_minus_log1p
from lsi_engine.numerics.products import inverse
from lsi_engine.progress import Progress
from lsi_engine.settings import LooPrior
from lsi_engine.training.newton import LinearProbe
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: Corrections for the group's own share m·wd of the penalty stop at this relative change of Δ.
RESCALING_TOLERANCE = 1e-10
RESCALING_STEPS = 50
#: Refining stops when the gradient without the group has fallen to this share of the group's own.
REFINING_TOLERANCE = 1e-9
REFINING_STEPS = 60


class Posteriors:
    """What all groups share: the factorised Hessian of the fit and the posterior's precision P = A + δI."""

    def __init__(
        self,
        objective: SoftmaxObjective,
        probe: LinearProbe,
        hessian: Literal["diag", "full"],
        prior_precision: float,
        loo_prior: LooPrior,
        progress: Progress,
    ) -> None:
        self.objective = objective
        self.basis = contrasts(objective.classes, dtype=torch.float64, device=objective.design.device)
        self.probabilities = objective.probabilities(probe.theta)
        self.theta = (self.basis.T @ probe.theta).reshape(-1)
        self.hessian = ggn(objective.design, self.probabilities, self.basis, dtype=torch.float64, progress=progress)
        self.hessian.diagonal().add_(objective.ridge)
        self.h_inverse = inverse(self.hessian, lambda: f"the Hessian with weight decay {objective.weight_decay}")
        #: wd where the penalty shrinks with the samples, 0 where the prior stays.
        self.rescaled_decay = objective.weight_decay if loo_prior == "rescaled" else 0.0
        self.prior_precision = prior_precision
        self.excess = prior_precision - objective.ridge
        self.diagonal: torch.Tensor | None = None
        self.p_inverse = self.h_inverse
        if hessian == "diag":
            self.diagonal = ggn_diagonal(objective.design, self.probabilities) + prior_precision
        elif self.excess:
            precision = self.hessian.clone()
            precision.diagonal().add_(self.excess)
            self.p_inverse = inverse(precision, lambda: f"the precision with prior {prior_precision}")


class Group(ABC):
    """One group's rows: X̃_g, F_g, r_g, and what both ways of leaving it out have in common."""

    def __init__(self, shared: Posteriors, rows: NDArray[np.int64]) -> None:
        objective = shared.objective
        index = torch.as_tensor(rows, device=objective.design.device)
        self.shared, self.rows = shared, rows
        self.x = objective.design.rows_at(rows, torch.float64)
        self.p = shared.probabilities[index]
        self.f = class_covariance(self.p, shared.basis)
        residual = self.p @ shared.basis - shared.basis[objective.targets[index]]
        self.index = index
        self.lost_decay = len(rows) * shared.rescaled_decay
        self.kick = (residual.T @ self.x).reshape(-1) + self.lost_decay * shared.theta

    @abstractmethod
    def shift(self) -> torch.Tensor:
        """Δ ``(K,)``."""

    @abstractmethod
    def spread(self) -> torch.Tensor:
        """Eigenvalues of P^−½ (J_gᵀF_gJ_g) P^−½ that differ from zero."""

    @abstractmethod
    def solve(self, vector: torch.Tensor) -> torch.Tensor:
        """(H − J_gᵀF_gJ_g)⁻¹ · vector, or close to it."""

    def refined(self, delta: torch.Tensor) -> torch.Tensor:
        """Δ at the true optimum without the group: quasi-Newton steps with the group's own factorisation."""
        best, smallest = delta, math.inf
        for _ in range(REFINING_STEPS):
            gradient = self._gradient(delta)
            norm = float(gradient.norm())
            if norm >= smallest:
                break
            best, smallest = delta, norm
            if norm <= REFINING_TOLERANCE * float(self.kick.norm()):
                break
            delta = delta - self.solve(gradient)
        return best

    def _theta(self, delta: torch.Tensor) -> torch.Tensor:
        basis = self.shared.basis
        return basis @ (self.shared.theta + delta).view(basis.shape[1], -1)

    def _gradient(self, delta: torch.Tensor) -> torch.Tensor:
        """Of the sum-form loss without the group, at θ + Δ, in the contrasts."""
        theta = self._theta(delta)
        _, gradient = self.shared.objective.value_and_gradient(theta)
        residual = torch.softmax(self.x @ theta.T, dim=1)
        residual[torch.arange(len(self.x)), self.shared.objective.targets[self.index]] -= 1
        gradient = gradient - residual.T @ self.x - self.lost_decay * theta
        return (self.shared.basis.T @ gradient).reshape(-1)

    def parts(self, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean-shift and covariance part, nats; a diagonal P₋g is taken at θ + Δ, a full one at θ."""
        shared = self.shared
        by_contrast = delta.view(shared.basis.shape[1], -1)
        if shared.diagonal is not None:
            theta = self._theta(delta)
            others = ggn_diagonal(shared.objective.design, shared.objective.probabilities(theta))
            mine = torch.softmax(self.x @ theta.T, dim=1)
            left = others + shared.prior_precision - (mine * (1 - mine)).T @ self.x.square()
            quadratic = (left * (shared.basis @ by_contrast).square()).sum() / 2
            return quadratic, x_minus_log1p((left - shared.diagonal) / shared.diagonal).sum() / 2
        moved = self.x @ by_contrast.T
        own_energy = (moved * torch.einsum("nab,nb->na", self.f, moved)).sum()
        energy = delta @ (shared.hessian @ delta) + shared.excess * delta.square().sum()
        return (energy - own_energy) / 2, x_minus_log1p(-self.spread()).sum() / 2


class SmallGroup(Group):
    """By Woodbury: everything in the space of the group's m(C − 1) logits."""

    def __init__(self, shared: Posteriors, rows: NDArray[np.int64]) -> None:
        super().__init__(shared, rows)
        m, size = self.f.shape[:2]
        jacobian = self.x.new_zeros(m, size, size, self.x.shape[1])
        for a in range(size):
            jacobian[:, a, a] = self.x
        self.jacobian = jacobian.view(m * size, -1)
        self.solved = shared.h_inverse @ self.jacobian.T
        self.s = self.jacobian @ self.solved
        eye = torch.eye(len(self.s), dtype=self.s.dtype, device=self.s.device)
        self.capacitance = torch.linalg.lu_factor(eye - self._weighted(self.s))

    def _weighted(self, matrix: torch.Tensor) -> torch.Tensor:
        """F_g · ``matrix (m·R, columns)``."""
        m, size = self.f.shape[:2]
        return torch.bmm(self.f, matrix.reshape(m, size, -1)).view(m * size, -1)

    def solve(self, vector: torch.Tensor) -> torch.Tensor:
        base = self.shared.h_inverse @ vector
        pushed = self._weighted((self.jacobian @ base)[:, None])
        return base + (self.solved @ torch.linalg.lu_solve(*self.capacitance, pushed))[:, 0]

    def shift(self) -> torch.Tensor:
        # G = H − m·wd·I: the small last term is brought to the right-hand side and iterated.
        delta = self.solve(self.kick)
        for _ in range(RESCALING_STEPS if self.lost_decay else 0):
            previous, delta = delta, self.solve(self.kick + self.lost_decay * delta)
            if float((delta - previous).norm()) <= RESCALING_TOLERANCE * float(delta.norm()):
                break
        return delta

    def spread(self) -> torch.Tensor:
        # F_i = BᵢᵀBᵢ with B = diag(√p)(I − 1pᵀ)Q, so no nearly singular F is factorised.
        same = self.shared.p_inverse is self.shared.h_inverse
        s = self.s if same else self.jacobian @ self.shared.p_inverse @ self.jacobian.T
        basis = self.shared.basis
        root = self.p.sqrt()[:, :, None] * (basis - (self.p @ basis)[:, None, :])
        m, classes, size = root.shape
        left = torch.bmm(root, s.view(m, size, m * size)).view(m * classes, m, size)
        both = torch.einsum("kmr,mcr->kmc", left, root).reshape(m * classes, m * classes)
        return torch.linalg.eigvalsh((both + both.T) / 2)


class LargeGroup(Group):
    """By factorising what is left, when that is smaller than the group's own logits."""

    def __init__(self, shared: Posteriors, rows: NDArray[np.int64]) -> None:
        super().__init__(shared, rows)
        picked = torch.as_tensor(rows, device=self.x.device)
        design = shared.objective.design
        self.curvature = ggn(design, shared.probabilities, shared.basis, dtype=torch.float64, rows=picked)
        left = shared.hessian - self.curvature
        left.diagonal().sub_(self.lost_decay)
        self.factor = torch.linalg.cholesky(left)

    def solve(self, vector: torch.Tensor) -> torch.Tensor:
        return torch.cholesky_solve(vector[:, None], self.factor)[:, 0]

    def shift(self) -> torch.Tensor:
        return self.solve(self.kick)

    def spread(self) -> torch.Tensor:
        precision = self.shared.hessian.clone()
        precision.diagonal().add_(self.shared.excess)
        factor = torch.linalg.cholesky(precision)
        half = torch.linalg.solve_triangular(factor, self.curvature, upper=False)
        whole = torch.linalg.solve_triangular(factor, half.T, upper=False)
        return torch.linalg.eigvalsh((whole + whole.T) / 2)
