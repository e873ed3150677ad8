"""From a problem to a table of scores, by each way of leaving samples out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.progress import Progress
from lsi_engine.scores.lsi.closed_form import DOUBLE_PRECISION_WORK, LeaveOneOut, leave_one_out
from lsi_engine.scores.lsi.many_classes import leave_one_out_class_blocks
from lsi_engine.scores.lsi.trained import TrainedScores
from lsi_engine.scores.problem import Problem
from lsi_engine.scores.structure import choose
from lsi_engine.scores.table import ScoreTable
from lsi_engine.settings import ScoreSettings
from lsi_engine.training.newton import fit_linear_probe
from lsi_engine.training.refinement import REFINED_TO
from lsi_engine.training.row_space import row_space


class Stages:
    """Wall-clock seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def closed_form_table(
    problem: Problem,
    settings: ScoreSettings,
    start: list[torch.Tensor] | None,
    index: NDArray[np.int64],
    info: dict[str, Any],
    clock: Stages,
    progress: Progress,
) -> tuple[ScoreTable, tuple[str, ...]]:
    """Fit, leave out the rows ``index`` in closed form, and tabulate; and what deserves a warning.

    ``start``: initial weights of the fit, or ``None``. ``info`` goes into the table's own. Raises as
    :func:`lsi_engine.score` does.
    """
    precision, loo_prior = settings.precision, settings.loo_prior
    own = problem.objective
    span = row_space(own)
    objective = own if span is None else span.objective
    choice = choose(objective, problem.prior_precision, settings.hessian)
    reduced = float((objective.classes - 1) * objective.design.columns)
    work = objective.samples * reduced * (reduced if choice.exact_shift else objective.design.columns)
    single_precision = precision == "float32" or (precision == "auto" and work > DOUBLE_PRECISION_WORK)
    dtype = torch.float32 if single_precision else torch.float64
    first = start[0] if start else None
    if first is not None and span is not None:
        first = first.to(span.turn) @ span.turn
    probe = fit_linear_probe(objective, tolerance=settings.tolerance, start=first, progress=progress)
    clock.done("fit")
    if choice.exact_shift:
        left_out = leave_one_out(
            objective,
            probe,
            hessian=cast(Literal["diag", "kron", "full"], choice.hessian),  # blocks stand for a shift that is not exact
            prior_precision=problem.prior_precision,
            loo_prior=loo_prior,
            index=index,
            within=None if span is None else (own.design, span.turn),
            dtype=dtype,
            progress=progress,
        )
    else:
        left_out = leave_one_out_class_blocks(
            objective,
            probe,
            structure="kron" if choice.hessian == "kron" else "blocks",
            prior_precision=problem.prior_precision,
            loo_prior=loo_prior,
            index=index,
            dtype=dtype,
            progress=progress,
        )
    clock.done("scores")
    if span is not None:
        probe = replace(probe, theta=span.back(probe.theta))
    table = ScoreTable(
        lsi_mean_shift=left_out.mean_shift.cpu().numpy(),
        lsi_covariance=left_out.covariance.cpu().numpy(),
        probabilities=left_out.probabilities.cpu().numpy(),
        codes=problem.codes[index],
        classes=problem.classes,
        leverage=left_out.leverage.cpu().numpy(),
        weight=probe.weight.cpu().numpy(),
        bias=probe.bias.cpu().numpy(),
        scaling=problem.scaling,
        index=index,
        info=info
        | {
            "hessian": choice.hessian,
            "hessian_reason": choice.reason,
            "shift": "full" if choice.exact_shift else "blocks",
            "precision": "float32" if single_precision else "float64",
            "gradient_norm": probe.gradient_norm,
            "newton_steps": probe.newton_steps,
            "hessian_products": probe.hessian_products,
            "preconditioner_rows": probe.preconditioner_rows,
            "loss": probe.loss,
            **_errors(left_out),
        },
    )
    return table, left_out.notes


def _errors(left_out: LeaveOneOut) -> dict[str, dict[str, float]]:
    """What is known of the shifts' errors: how many were brought to ``REFINED_TO``, and the median of some others."""
    if left_out.error_estimate is None:
        return {}
    estimate = left_out.error_estimate[left_out.error_estimate.isfinite()]
    others = estimate[estimate > REFINED_TO]
    facts = {"refined": len(estimate) - len(others), "others": len(others)}
    return {"error_estimate": facts | ({"median_of_others": float(others.median())} if len(others) else {})}


def trained_table(
    problem: Problem, trained: TrainedScores, index: NDArray[np.int64], info: dict[str, Any]
) -> ScoreTable:
    """What trained probes came to, as a table: means over seeds, at the end of training."""
    last = trained.layers[-1]
    return ScoreTable(
        lsi_mean_shift=trained.scores.mean_shift[:, -1].mean(axis=0),
        lsi_covariance=trained.scores.covariance[:, -1].mean(axis=0),
        probabilities=trained.probabilities,
        codes=problem.codes[index],
        classes=problem.classes,
        leverage=np.full(len(index), np.nan),
        weight=last[:, :-1],
        bias=last[:, -1],
        scaling=problem.scaling,
        index=index,
        info=info | trained.facts,
        seed_scores=trained.scores,
        layers=trained.layers if len(trained.layers) > 1 else [],
    )
