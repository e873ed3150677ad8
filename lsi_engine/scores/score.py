"""``score``: features and labels in, one row of scores a sample out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import LsiWarning
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.closed_form import DOUBLE_PRECISION_WORK, leave_one_out
from lsi_engine.scores.lsi.kronecker_shift import leave_one_out_kronecker
from lsi_engine.scores.lsi.retrain import Shards
from lsi_engine.scores.lsi.trained import (
    TrainedScores,
    check_initial_weights,
    check_samples,
    stopped_short,
    trained_scores,
)
from lsi_engine.scores.problem import Problem
from lsi_engine.scores.structure import choose
from lsi_engine.scores.table import ScoreTable
from lsi_engine.settings import Hessian, LooPrior, Method, Precision, Scaling, ScoreSettings, Structure
from lsi_engine.training.descent import SgdSettings
from lsi_engine.training.newton import fit_linear_probe

#: LSI is a divergence: below −this, relative to the largest, a negative value is a fault and not rounding.
NEGATIVE_TOLERANCE = 1e-6


def score(
    features: ArrayLike | torch.Tensor,
    labels: ArrayLike | torch.Tensor,
    *,
    weight_decay: float = 0.01,
    hessian: Hessian = "diag",
    method: Method = "closed_form",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    loo_prior: LooPrior = "rescaled",
    feature_scaling: Scaling = "none",
    precision: Precision = "auto",
    device: str | torch.device | None = None,
    tolerance: float = 1e-10,
    samples: ArrayLike | None = None,
    learning_rate: float = 0.04,
    momentum: float = 0.9,
    epochs: int = 1000,
    seeds: int | Sequence[int] = 1,
    initial_weights: Sequence[ArrayLike] | None = None,
    probe: Literal["linear"] | int = "linear",
    score_epochs: Sequence[int] = (),
    shards: Shards | None = None,
    progress: Progress = silent,
) -> ScoreTable:
    """Laplace Sample Information of every sample: KL(posterior with it ‖ posterior without it), Definition 2 of the
    paper.

    The probe is one linear softmax layer on the features (or a ReLU layer before it), trained on the **mean**
    cross-entropy + (weight_decay / 2)‖θ‖², bias decayed too: to its optimum for ``method="closed_form"``, by
    ``epochs`` full-batch steps of Nesterov gradient descent for the other methods.

    Parameters
    ----------
    features
        ``(N, D)`` numbers: NumPy array (memory-mapped ones are streamed), pandas frame or torch tensor. **Scaled only
        if asked**: scaling the features changes LSI.
    labels
        ``(N,)`` class labels: strings, whole numbers with or without gaps, booleans; array, pandas Series, list or
        tensor.
    weight_decay
        wd of the mean form (paper: 0.01). Must be positive.
    hessian
        Structure of the Laplace posterior's precision. ``"diag"`` (the paper's default) keeps its diagonal; ``"full"``
        keeps everything; ``"kron"`` keeps the Kronecker factors' eigenvectors with corrected eigenvalues (linear probes
        only); ``"auto"`` is full where that fits in memory, else kron (closed form only). The closed form's shift uses
        the full Hessian as long as that fits, else the Kronecker one: ``table.info["hessian_reason"]`` says what was
        chosen and why.
    method
        ``"closed_form"``: exact leave-one-out of the converged linear probe up to O(K/N). ``"retrain"``: every
        leave-one-out probe really trained, as in the paper; any probe. ``"trajectory"``: linearised training dynamics
        of the linear probe, for trainings that stop far from the optimum and are too many to repeat.
    prior_precision
        δ added to the summed curvature, the same in both posteriors: ``"weight_decay"`` for N·wd (the Hessian of what
        was trained) or a number (the paper's reference code: 1.0 whatever wd was).
    loo_prior
        ``"rescaled"``: without the sample the loss is a mean over N − 1, so the penalty weighs (N − 1)·wd in sum form
        (the paper). ``"fixed"``: the penalty stays N·wd.
    feature_scaling
        ``"standardize"``: mean 0 and standard deviation 1 a column.
    precision
        Of the large matrix products. ``"auto"``: float64 where that costs seconds at most, else float32;
        factorisations, the fit's gradients and all differences are float64 always.
    device
        Defaults to the features' own (tensors), else the CPU.
    tolerance
        Of the fit; see :func:`lsi_engine.training.newton.fit_linear_probe`.
    samples
        Rows to leave out; the table then has those rows only, in that order. All when ``None``.
    learning_rate, momentum, epochs
        Of ``"retrain"`` and ``"trajectory"`` (defaults: the paper's). Given other than the defaults with
        ``"closed_form"``, one training is run with them, and a warning says if it stops too far from the optimum
        for the closed form to stand for it.
    seeds
        Of the initial weights: a number k (seeds 5 … 4 + k, as in the paper's code) or the seeds themselves. Columns
        are means over seeds; ``table.seed_scores`` keeps each.
    initial_weights
        ``(W (C, D), b (C,))``, or ``(W₁, b₁, W₂, b₂)`` with a hidden layer: where every training starts instead.
        Classes in sorted order. ``"closed_form"`` only gets to the same optimum sooner.
    probe
        ``"linear"``, or the width of a hidden ReLU layer (``"retrain"`` only).
    score_epochs
        Epochs at which ``"retrain"`` also takes LSI, in the same pass; ``table.seed_scores`` keeps them.
    shards
        Where ``"retrain"`` keeps finished work and finds it again: a dictionary, or a mapping that writes to disk.

    Returns
    -------
    ScoreTable
        ``to_frame()`` has one row a sample in input order. Equal input on one machine gives equal bytes.

    Raises
    ------
    InputError
        For features or labels that cannot be scored; names the row.
    NotConverged
        When the fit does not reach its optimum, where a closed form would be wrong; when training diverges,
        oscillates or switches every hidden unit off.

    Warns
    -----
    LsiWarning
        When a class has a single sample (without it the class is unknown to the probe), or scores disagree from seed
        to seed.
    """
    # Constructed without validation: the settings' own check says more than a type's name would.
    settings = ScoreSettings.model_construct(
        method=method,
        hessian=hessian,
        weight_decay=weight_decay,
        feature_scaling=feature_scaling,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
        probe=probe,
        learning_rate=learning_rate,
        momentum=momentum,
        epochs=epochs,
        seeds=seeds,
        score_epochs=list(score_epochs),
        precision=precision,
        tolerance=tolerance,
        device=device,
    )
    settings.check()
    descent = SgdSettings(learning_rate, momentum, epochs, weight_decay)
    clock = _Stages()
    problem = Problem.from_data(
        features,
        labels,
        weight_decay=weight_decay,
        prior_precision=prior_precision,
        feature_scaling=feature_scaling,
        device=device,
    )
    clock.done("scaling")
    objective = problem.objective
    index = check_samples(samples, objective.samples)
    info = {
        "method": method,
        "hessian": hessian,
        "loo_prior": loo_prior,
        "weight_decay": weight_decay,
        "prior_precision": problem.prior_precision,
        "feature_scaling": feature_scaling,
        "device": str(objective.design.device),
        "samples": objective.samples,
        "left_out": len(index),
        "dimension": objective.design.dimension,
        "classes": objective.classes,
    }
    if method == "closed_form":
        start = check_initial_weights(initial_weights, (objective.design.dimension, objective.classes))
        table, found = _closed_form(
            problem, hessian, loo_prior, precision, tolerance, start, index, info, clock, progress
        )
        notes = [*problem.notes, *found]
        if descent != SgdSettings(weight_decay=weight_decay):
            notes += stopped_short(problem, descent, settings.seed_list[0], table.info, progress)
    else:
        trained = trained_scores(
            problem,
            descent,
            method=method,
            hidden=settings.hidden,
            hessian=cast(Structure, hessian),
            samples=index,
            seeds=settings.seed_list,
            initial_weights=initial_weights,
            score_epochs=score_epochs,
            precision=precision,
            shards=shards,
            progress=progress,
        )
        clock.done("scores")
        table = _trained_table(problem, trained, index, info)
        notes = [*problem.notes, *trained.notes]
    table.info["seconds"] = clock.seconds
    lowest, highest = float(table.lsi.min()), float(table.lsi.max())
    if lowest < -NEGATIVE_TOLERANCE * max(highest, 1e-300):
        notes.append(
            f"the lowest LSI is {lowest:.3g}; a divergence cannot be negative: please report this, with the settings"
        )
    for note in notes:
        warnings.warn(note, LsiWarning, stacklevel=2)
    table.info["warnings"] = notes
    return table


def _closed_form(
    problem: Problem,
    hessian: Hessian,
    loo_prior: LooPrior,
    precision: str,
    tolerance: float,
    start: list[torch.Tensor] | None,
    index: NDArray[np.int64],
    info: dict[str, Any],
    clock: _Stages,
    progress: Progress,
) -> tuple[ScoreTable, tuple[str, ...]]:
    objective = problem.objective
    choice = choose(problem, hessian)
    reduced = (objective.classes - 1) * objective.design.columns
    single_precision = choice.exact_shift and (
        precision == "float32"
        or (precision == "auto" and objective.samples * float(reduced) ** 2 > DOUBLE_PRECISION_WORK)
    )
    probe = fit_linear_probe(objective, tolerance=tolerance, start=start[0] if start else None, progress=progress)
    clock.done("fit")
    if choice.exact_shift:
        left_out = leave_one_out(
            objective,
            probe,
            hessian=choice.hessian,
            prior_precision=problem.prior_precision,
            loo_prior=loo_prior,
            index=index,
            dtype=torch.float32 if single_precision else torch.float64,
            progress=progress,
        )
    else:
        left_out = leave_one_out_kronecker(
            objective,
            probe,
            prior_precision=problem.prior_precision,
            loo_prior=loo_prior,
            index=index,
            progress=progress,
        )
    clock.done("scores")
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
            "shift": "full" if choice.exact_shift else "kron",
            "precision": "float32" if single_precision else "float64",
            "gradient_norm": probe.gradient_norm,
            "newton_steps": probe.newton_steps,
            "hessian_products": probe.hessian_products,
            "preconditioner_rows": probe.preconditioner_rows,
            "loss": probe.loss,
        },
    )
    return table, left_out.notes


def _trained_table(
    problem: Problem, trained: TrainedScores, index: NDArray[np.int64], info: dict[str, Any]
) -> ScoreTable:
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


class _Stages:
    """Wall-clock seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def describe(info: dict[str, Any]) -> str:
    """One line about how scores came about, for people."""
    return (
        f"{info['samples']:,} samples · {info['classes']} classes · {info['method'].replace('_', ' ')}, "
        f"{info['hessian']} · |g| {info['gradient_norm']:.1e}"
    )
