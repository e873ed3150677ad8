"""``score``: features and labels in, one row of scores a sample out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike

from lsi_engine.errors import LsiWarning
from lsi_engine.inputs import check_samples, row_names
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.cost import Task, against_retraining
from lsi_engine.scores.lsi.retrain import Shards
from lsi_engine.scores.lsi.trained import (
    check_initial_weights,
    stopped_short,
    trained_scores,
)
from lsi_engine.scores.problem import Problem
from lsi_engine.scores.table import ScoreTable
from lsi_engine.scores.tabulate import Stages, closed_form_table, trained_table
from lsi_engine.scores.weight_decay import choose_weight_decay, with_weight_decay
from lsi_engine.settings import FIRST_WEIGHT_DECAY, Hessian, LooPrior, Method, Precision, Scaling, ScoreSettings
from lsi_engine.training.descent import SgdSettings

#: LSI is a divergence: below −this, relative to the largest, a negative value is a fault and not rounding.
NEGATIVE_TOLERANCE = 1e-6


def score(
    features: ArrayLike | torch.Tensor,
    labels: ArrayLike | torch.Tensor,
    *,
    weight_decay: float | Literal["auto"] = 0.01,
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
        wd of the mean form (paper: 0.01). Must be positive. ``"auto"``: the one from 0.01 to 3 with the lowest
        leave-one-out log loss (closed form only), of at most 5 000 samples; ``table.info["weight_decay"]`` is what was
        chosen, ``table.info["weight_decay_curve"]`` why: ``[[weight decay, log loss], …]``.
    hessian
        Structure of the Laplace posterior's precision. ``"diag"`` (the paper's default) keeps its diagonal; ``"full"``
        keeps everything; ``"kron"`` keeps the Kronecker factors' eigenvectors with corrected eigenvalues (linear probes
        only); ``"auto"`` is full where that fits in memory, else one block a class (closed form only). The closed
        form's shift uses the full Hessian as long as that fits, else those blocks, refined where LSI is highest:
        ``table.info["hessian_reason"]`` says what was chosen and why, ``table.info["error_estimate"]`` how far it is
        off.
    method
        ``"closed_form"``: leave-one-out of the converged linear probe, its shift exact up to O(K/N); the covariance
        part of ``"full"`` is further off (docs/methods.md). ``"retrain"``: every leave-one-out probe really trained,
        as in the paper; any probe. ``"trajectory"``: linearised training dynamics
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
        Rows to leave out, or a mask ``(N,)`` of booleans; the table then has those rows only, in that order. All when
        ``None``.
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
    clock = Stages()
    names = row_names(features, labels)
    problem = Problem.from_data(
        features,
        labels,
        weight_decay=FIRST_WEIGHT_DECAY if weight_decay == "auto" else weight_decay,
        prior_precision=prior_precision,
        feature_scaling=feature_scaling,
        device=device,
    )
    clock.done("scaling")
    index = check_samples(samples, problem.objective.samples)
    choice = choose_weight_decay(problem, settings, progress) if weight_decay == "auto" else None
    if choice is not None:
        problem = with_weight_decay(problem, choice.weight_decay, prior_precision)
        clock.done("weight_decay")
    objective = problem.objective
    descent = SgdSettings(learning_rate, momentum, epochs, objective.weight_decay)
    info: dict[str, Any] = {
        "method": method,
        "hessian": hessian,
        "loo_prior": loo_prior,
        "weight_decay": objective.weight_decay,
        "prior_precision": problem.prior_precision,
        "feature_scaling": feature_scaling,
        "device": str(objective.design.device),
        "samples": objective.samples,
        "left_out": len(index),
        "dimension": objective.design.dimension,
        "classes": objective.classes,
    }
    if choice is not None:
        info |= {"weight_decay_curve": choice.curve, "weight_decay_samples": choice.samples}
    if method == "closed_form":
        start = check_initial_weights(initial_weights, (objective.design.dimension, objective.classes))
        if start is None and choice is not None:
            start = [choice.start]
        table, found = closed_form_table(problem, settings, start, index, info, clock, progress)
        notes = [*problem.notes, *found]
        if descent != SgdSettings(weight_decay=objective.weight_decay):
            notes += stopped_short(problem, descent, settings.seed_list[0], table.info, progress)
    else:
        trained = trained_scores(
            problem, settings, samples=index, initial_weights=initial_weights, shards=shards, progress=progress
        )
        clock.done("scores")
        table = trained_table(problem, trained, index, info)
        notes = [*problem.notes, *trained.notes]
        if method == "trajectory":
            notes += _dearer_than_retraining(table.info, settings)
    table.info["seconds"] = clock.seconds
    lowest, highest = float(table.lsi.min()), float(table.lsi.max())
    if lowest < -NEGATIVE_TOLERANCE * max(highest, 1e-300):
        notes.append(
            f"the lowest LSI is {lowest:.3g}; a divergence cannot be negative: please report this, with the settings"
        )
    for note in notes:
        warnings.warn(note, LsiWarning, stacklevel=2)
    table.info["warnings"] = notes
    return table if names is None else replace(table, names=names[index])


def _dearer_than_retraining(info: dict[str, Any], settings: ScoreSettings) -> list[str]:
    """Record what a trajectory took against true retraining; a note where that is more."""
    task = Task(
        samples=info["samples"],
        dimension=info["dimension"],
        classes=info["classes"],
        left_out=info["left_out"],
        hessian=settings.hessian,
        epochs=settings.epochs,
        seeds=len(settings.seed_list),
    )
    times = info["cost_against_retrain"] = against_retraining(task)
    if times <= 1:
        return []
    return [
        f"a trajectory takes about {times:.1f} times the arithmetic of true retraining for so few samples: "
        "method='retrain' is exact and cheaper here"
    ]


def describe(info: dict[str, Any]) -> str:
    """One line about how scores came about, for people."""
    return (
        f"{info['samples']:,} samples · {info['classes']} classes · {info['method'].replace('_', ' ')}, "
        f"{info['hessian']} · |g| {info['gradient_norm']:.1e}"
    )
