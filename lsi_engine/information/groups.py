"""Leaving out a whole group at once: a patient, an annotator, a source, a cluster of near-duplicates.

The notation is that of :mod:`lsi_engine.information.closed_form`; a group g of m samples stacks its J_i into J_g, its
F_i into a block-diagonal F_g, its residuals into r_g. Without the group the penalty's curvature is (N − m)·wd when
the loss is a mean over the remaining samples, N·wd when the prior is kept. With G = A + γ_m I the shift solves

    (G − J_gᵀF_gJ_g) Δ = J_gᵀr_g + b_m,    b_m = m·wd·θ if rescaled, else 0,

a rank m(C − 1) change of one factorised matrix. Groups hide each other's members from any leave-ONE-out score: of two
identical mislabelled samples, each vouches for the other. Their group score does not.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError, one_of
from lsi_engine.information.closed_form import LooPrior, leave_one_out
from lsi_engine.information.problem import Problem, Scaling
from lsi_engine.laplace.curvature import class_covariance, ggn, ggn_diagonal
from lsi_engine.laplace.gaussian import x_minus_log1p
from lsi_engine.laplace.products import inverse
from lsi_engine.probes.linear import LinearProbe, fit_linear_probe
from lsi_engine.probes.softmax import SoftmaxObjective, contrasts
from lsi_engine.progress import Progress, silent

#: Corrections for the group's own share m·wd of the penalty stop at this relative change of Δ.
RESCALING_TOLERANCE = 1e-10
RESCALING_STEPS = 50
#: Refining stops when the gradient without the group has fallen to this share of the group's own.
REFINING_TOLERANCE = 1e-9
REFINING_STEPS = 60


@dataclass(frozen=True)
class LeaveGroupOut:
    """What leaving out each group does; float64.

    Attributes
    ----------
    mean_shift, covariance
        ``(groups,)`` nats: the two parts of the group's LSI.
    probabilities
        ``(N, C)`` class probabilities of each sample under the probe trained without the sample's whole group.
    """

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    probabilities: torch.Tensor


@dataclass(frozen=True)
class GroupTable:
    """Scores of groups, and of each sample with its whole group left out.

    ``names`` are the groups in order of first occurrence, ``groups (N,)`` index into them; ``codes`` and ``classes``
    are the given labels, ``probabilities (N, C)`` those of the probe trained without the sample's group.
    """

    names: list[Any]
    groups: NDArray[np.int64]
    lsi_mean_shift: NDArray[np.float64]
    lsi_covariance: NDArray[np.float64]
    codes: NDArray[np.int64]
    classes: list[Any]
    probabilities: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """One row a group: ``group, samples, lsi, lsi_mean_shift, lsi_covariance, suspicion`` (mean of its samples)."""
        return pd.DataFrame(
            {
                "group": self.names,
                "samples": np.bincount(self.groups),
                "lsi": self.lsi_mean_shift + self.lsi_covariance,
                "lsi_mean_shift": self.lsi_mean_shift,
                "lsi_covariance": self.lsi_covariance,
                "suspicion": np.bincount(self.groups, 1 - self._of_given_label()) / np.bincount(self.groups),
            }
        )

    def sample_frame(self) -> pd.DataFrame:
        """One row a sample, in input order: ``group, group_lsi, group_probability`` (of the given label),
        ``group_suspicion, group_predicted_label``, all with the sample's whole group left out."""
        given = self._of_given_label()
        return pd.DataFrame(
            {
                "group": [self.names[group] for group in self.groups],
                "group_lsi": (self.lsi_mean_shift + self.lsi_covariance)[self.groups],
                "group_probability": given,
                "group_suspicion": 1 - given,
                "group_predicted_label": np.asarray(self.classes)[self.probabilities.argmax(axis=1)],
            }
        )

    def _of_given_label(self) -> NDArray[np.float64]:
        return np.take_along_axis(self.probabilities, self.codes[:, None], axis=1)[:, 0]


def score_groups(
    features: ArrayLike | torch.Tensor,
    labels: ArrayLike | torch.Tensor,
    groups: ArrayLike,
    *,
    weight_decay: float = 0.01,
    hessian: Literal["diag", "full"] = "diag",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    loo_prior: LooPrior = "rescaled",
    feature_scaling: Scaling = "none",
    refine: bool = False,
    device: str | torch.device | None = None,
    progress: Progress = silent,
) -> GroupTable:
    """LSI of whole groups: KL(posterior with the group ‖ posterior without it).

    Parameters
    ----------
    groups
        ``(N,)`` group of each sample: patients, annotators, sources, or
        :func:`lsi_engine.information.duplicates.near_duplicate_groups`. Any hashable values, none missing.
    refine
        Exact leave-group-out optima instead of one Newton step, for groups of two and more; see
        :func:`leave_group_out`.
    features, labels, weight_decay, hessian, prior_precision, loo_prior, feature_scaling, device
        As for :func:`lsi_engine.score`.

    Raises
    ------
    InputError
        As :func:`lsi_engine.score`; also when ``groups`` has the wrong length, a missing value, or only one group.
    """
    one_of("hessian", hessian, ("diag", "full"))
    one_of("loo_prior", loo_prior, ("rescaled", "fixed"))
    problem = Problem.state(
        features,
        labels,
        weight_decay=weight_decay,
        prior_precision=prior_precision,
        feature_scaling=feature_scaling,
        device=device,
    )
    members, names = pd.factorize(pd.Series(list(np.asarray(groups)), dtype="object"))
    if len(members) != len(problem.codes):
        raise InputError(f"{len(problem.codes)} samples but {len(members)} groups; they must match one to one")
    if (members < 0).any():
        raise InputError(f"the group of row {int(np.flatnonzero(members < 0)[0])} is missing")
    if len(names) < 2:
        raise InputError("all samples are in one group: leaving it out leaves nothing to compare with")
    probe = fit_linear_probe(problem.objective, progress=progress)
    left_out = leave_group_out(
        problem.objective,
        probe,
        members.astype(np.int64),
        hessian=hessian,
        prior_precision=problem.prior_precision,
        loo_prior=loo_prior,
        refine=refine,
        progress=progress,
    )
    return GroupTable(
        names=list(names),
        groups=members.astype(np.int64),
        lsi_mean_shift=left_out.mean_shift.cpu().numpy(),
        lsi_covariance=left_out.covariance.cpu().numpy(),
        codes=problem.codes,
        classes=problem.classes,
        probabilities=left_out.probabilities.cpu().numpy(),
    )


def leave_group_out(
    objective: SoftmaxObjective,
    probe: LinearProbe,
    groups: NDArray[np.int64],
    *,
    hessian: Literal["diag", "full"],
    prior_precision: float,
    loo_prior: LooPrior = "rescaled",
    refine: bool = False,
    progress: Progress = silent,
) -> LeaveGroupOut:
    """Leave out every group in turn, all in float64.

    Parameters
    ----------
    groups
        ``(N,)`` index of each sample's group, 0 … G − 1, each occurring at least once.
    hessian, prior_precision, loo_prior
        As for :func:`lsi_engine.information.closed_form.leave_one_out`.
    refine
        Go on from the closed form to the true optimum without the group, with the same factorisation: a few
        gradients over all samples a group. Groups of one are not refined.

    Notes
    -----
    Unrefined, one Newton step from the optimum, as for single samples: the larger the group, the more is left out. The
    diagonal posterior is evaluated at θ₋g itself, the full one keeps the other samples' curvature at θ. Small groups
    cost 2·K²·m·(C − 1) flop each, K = (C − 1)(D + 1); groups with more than K / 2 rows in J_g are factorised afresh,
    O(K³), so that memory stays at a few K × K matrices.
    """
    # Samples on their own need no loop: the streamed closed form is the same formula for all of them at once.
    single = leave_one_out(
        objective,
        probe,
        hessian=hessian,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
        progress=progress,
    )
    sizes = np.bincount(groups)
    count = len(sizes)
    index = torch.as_tensor(groups, device=single.mean_shift.device)
    mean_shift, covariance = (torch.empty(count, dtype=torch.float64, device=index.device) for _ in range(2))
    mean_shift[index], covariance[index] = single.mean_shift, single.covariance
    probabilities = single.probabilities
    if sizes.max() == 1:
        return LeaveGroupOut(mean_shift, covariance, probabilities)

    posteriors = _Posteriors(objective, probe, hessian, prior_precision, loo_prior, progress)
    for group, rows in _members(groups, np.flatnonzero(sizes > 1)):
        large = 2 * len(rows) * (objective.classes - 1) > len(posteriors.h_inverse)
        without = _Large(posteriors, rows) if large else _Small(posteriors, rows)
        delta = without.shift()
        if refine:
            delta = without.refined(delta)
        mean_shift[group], covariance[group] = without.parts(delta)
        index = torch.as_tensor(rows, device=mean_shift.device)
        theta = probe.theta + posteriors.basis @ delta.view(posteriors.basis.shape[1], -1)
        probabilities[index] = torch.softmax(without.x @ theta.T, dim=1)
        progress("groups", group + 1, count)
    return LeaveGroupOut(mean_shift, covariance, probabilities)


def _members(groups: NDArray[np.int64], wanted: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each wanted group with its rows in order."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts, stops = np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, side="right")
    for group, start, stop in zip(wanted.tolist(), starts, stops, strict=True):
        yield group, order[start:stop]


class _Posteriors:
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


class _Group(ABC):
    """One group's rows: X̃_g, F_g, r_g, and what both ways of leaving it out have in common."""

    def __init__(self, shared: _Posteriors, rows: NDArray[np.int64]) -> None:
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


class _Small(_Group):
    """By Woodbury: everything in the space of the group's m(C − 1) logits."""

    def __init__(self, shared: _Posteriors, rows: NDArray[np.int64]) -> None:
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


class _Large(_Group):
    """By factorising what is left, when that is smaller than the group's own logits."""

    def __init__(self, shared: _Posteriors, rows: NDArray[np.int64]) -> None:
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
