"""Leaving out a whole group at once: a patient, an annotator, a source, a cluster of near-duplicates.

The notation is that of :mod:`lsi_engine.scores.lsi.closed_form`; a group g of m samples stacks its J_i into J_g, its
F_i into a block-diagonal F_g, its residuals into r_g. Without the group the penalty's curvature is (N − m)·wd when
the loss is a mean over the remaining samples, N·wd when the prior is kept. With G = A + γ_m I the shift solves

    (G − J_gᵀF_gJ_g) Δ = J_gᵀr_g + b_m,    b_m = m·wd·θ if rescaled, else 0,

a rank m(C − 1) change of one factorised matrix. Groups hide each other's members from any leave-ONE-out score: of two
identical mislabelled samples, each vouches for the other. Their group score does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError, one_of
from lsi_engine.inputs import check_groups
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.closed_form import leave_one_out
from lsi_engine.scores.lsi.group_posteriors import LargeGroup, Posteriors, SmallGroup
from lsi_engine.scores.lsi.group_table import GroupTable
from lsi_engine.scores.problem import Problem
from lsi_engine.settings import LooPrior, Scaling
from lsi_engine.training.newton import LinearProbe, fit_linear_probe
from lsi_engine.training.softmax_objective import SoftmaxObjective


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
        :func:`lsi_engine.features.near_duplicates.near_duplicate_groups`. Any hashable values, none
        missing; 1 and '1' are two.
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
    problem = Problem.from_data(
        features,
        labels,
        weight_decay=weight_decay,
        prior_precision=prior_precision,
        feature_scaling=feature_scaling,
        device=device,
    )
    members, names = check_groups(groups, len(problem.codes))
    if len(names) < 2:
        raise InputError("all samples are in one group: leaving it out leaves nothing to compare with")
    probe = fit_linear_probe(problem.objective, progress=progress)
    left_out = leave_group_out(
        problem.objective,
        probe,
        members,
        hessian=hessian,
        prior_precision=problem.prior_precision,
        loo_prior=loo_prior,
        refine=refine,
        progress=progress,
    )
    return GroupTable(
        names=names,
        groups=members,
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
        As for :func:`lsi_engine.scores.lsi.closed_form.leave_one_out`.
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

    posteriors = Posteriors(objective, probe, hessian, prior_precision, loo_prior, progress)
    for group, rows in _members(groups, np.flatnonzero(sizes > 1)):
        large = 2 * len(rows) * (objective.classes - 1) > len(posteriors.h_inverse)
        without = LargeGroup(posteriors, rows) if large else SmallGroup(posteriors, rows)
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
