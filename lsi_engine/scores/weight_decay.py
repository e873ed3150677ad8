"""``weight_decay="auto"``: the one whose probe best predicts the labels of samples that it was trained without.

The closed form gives the leave-one-out log loss of every weight decay for the price of a fit and a factorisation. The
grid begins at 0.01, the paper's: below that the log loss of the *given* labels can go on falling while wrong ones among
them are being learnt, and detection gets worse (CIFAR-10; see docs/methods.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.progress import Progress, silent
from lsi_engine.scores.problem import Problem
from lsi_engine.scores.skill import probe_skill
from lsi_engine.scores.tabulate import Stages, closed_form_table
from lsi_engine.settings import ScoreSettings
from lsi_engine.training.softmax_objective import SoftmaxObjective, as_targets

GRID = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: Of more samples, so many stand for all. The penalty is one of the mean loss, so it means the same for a part.
MOST_ROWS = 5000


class WeightDecayChoice(NamedTuple):
    """The chosen weight decay, ``[[weight decay, leave-one-out log loss (nats)], …]`` behind it, over how many
    samples, and the probe ``(C, D')`` that the last of them was chosen with, where a fit may start."""

    weight_decay: float
    curve: list[list[float]]
    samples: int
    start: torch.Tensor


def choose_weight_decay(problem: Problem, settings: ScoreSettings, progress: Progress = silent) -> WeightDecayChoice:
    """The weight decay of ``GRID`` with the lowest leave-one-out log loss; the smaller one of equals.

    ``problem`` is stated with any weight decay. Of more than ``MOST_ROWS`` samples a stratified part is taken, the same
    every time. Each fit starts from the one before. Raises as :func:`lsi_engine.score` does.
    """
    part = _subsample(problem)
    everything = np.arange(part.objective.samples)
    # The posterior plays no part in the predictions: with its prior the fit's own, the full one costs nothing more.
    asked = settings.model_copy(update={"hessian": "auto", "loo_prior": "rescaled"})
    start: torch.Tensor | None = None
    fits: list[tuple[float, float, torch.Tensor]] = []
    for decay in reversed(GRID):  # from the stiffest, whose optimum lies nearest to where fits begin
        at = with_weight_decay(part, decay, "weight_decay")
        table, _ = closed_form_table(at, asked, None if start is None else [start], everything, {}, Stages(), progress)
        start = torch.from_numpy(np.column_stack([table.weight, table.bias]))
        fits.append((decay, probe_skill(table.probabilities, table.codes).log_loss, start))
    fits.reverse()
    best = min(fits, key=lambda fit: fit[1])
    return WeightDecayChoice(best[0], [[decay, loss] for decay, loss, _ in fits], len(everything), best[2])


def with_weight_decay(problem: Problem, weight_decay: float, prior_precision: Any) -> Problem:
    """The same data under another weight decay; ``prior_precision`` as for :func:`lsi_engine.score`."""
    before = problem.objective
    objective = SoftmaxObjective(before.design, before.targets, before.classes, weight_decay)
    delta = before.samples * weight_decay if prior_precision == "weight_decay" else float(prior_precision)
    return replace(problem, objective=objective, prior_precision=delta)


def _subsample(problem: Problem) -> Problem:
    objective = problem.objective
    if objective.samples <= MOST_ROWS:
        return problem
    rows = stratified(problem.codes, MOST_ROWS)
    design, codes = objective.design.subset(rows), problem.codes[rows]
    part = SoftmaxObjective(design, as_targets(codes, design.device), objective.classes, objective.weight_decay)
    return replace(problem, objective=part, codes=codes)


def stratified(codes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """About ``most`` rows in ascending order, each class by its share but with two samples at least where it has them;
    drawn at random, the same ones every time."""
    random = np.random.default_rng(0)
    chosen = []
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        count = min(len(members), max(2, round(most * len(members) / len(codes))))
        chosen.append(random.choice(members, size=count, replace=False))
    return np.sort(np.concatenate(chosen))
