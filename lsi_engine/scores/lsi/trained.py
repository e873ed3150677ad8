"""Scores of probes trained for a fixed number of epochs: true retraining and its linearisation, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError
from lsi_engine.numerics.memory import require_memory, training_bytes
from lsi_engine.progress import Progress
from lsi_engine.scores.lsi.retrain import ProbeTask, Retrained, Shards, models_at_once, retrain
from lsi_engine.scores.lsi.trajectory import trajectory
from lsi_engine.scores.problem import Problem
from lsi_engine.scores.seeds import SeedScores
from lsi_engine.settings import ScoreSettings, Structure
from lsi_engine.training.descent import SgdSettings, initial_layers
from lsi_engine.training.softmax_objective import gradient_norm

#: Below this agreement from seed to seed, scores carry a warning.
UNRELIABLE = 0.9


@dataclass(frozen=True)
class TrainedScores:
    """What ``score`` makes a table of: means over seeds, at the end of training."""

    scores: SeedScores
    probabilities: NDArray[np.float64]  # (n, C)
    layers: list[NDArray[np.float64]]  # of the first seed
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def check_initial_weights(given: Sequence[ArrayLike] | None, sizes: Sequence[int]) -> list[torch.Tensor] | None:
    """(W, b) a layer → one float64 tensor ``(outputs, inputs + 1)`` a layer. Raises ``InputError`` naming the shape."""
    if given is None:
        return None
    shapes = [shape for a, b in pairwise(sizes) for shape in ((b, a), (b,))]
    arrays = [torch.as_tensor(np.asarray(array, dtype=np.float64)) for array in given]
    if [tuple(array.shape) for array in arrays] != shapes:
        raise InputError(
            f"initial_weights have shapes {[tuple(array.shape) for array in arrays]}; this probe needs {shapes}"
        )
    if not all(bool(torch.isfinite(array).all()) for array in arrays):
        raise InputError("initial_weights hold NaN or infinity")
    return [torch.cat([w, b[:, None]], dim=1) for w, b in zip(arrays[::2], arrays[1::2], strict=True)]


def trained_scores(
    problem: Problem,
    options: ScoreSettings,
    *,
    samples: NDArray[np.int64],
    initial_weights: Sequence[ArrayLike] | None,
    shards: Shards | None,
    progress: Progress,
) -> TrainedScores:
    """Run the method of ``options``, which must be one that trains, for every seed.

    See :func:`lsi_engine.score` for the arguments. Raises ``InputError``.
    """
    method, hidden, seeds, hessian = options.method, options.hidden, options.seed_list, cast(Structure, options.hessian)
    precision, score_epochs = options.precision, options.score_epochs
    settings = SgdSettings(options.learning_rate, options.momentum, options.epochs, float(options.weight_decay))
    objective, design = problem.objective, problem.objective.design
    sizes = [design.dimension, objective.classes] if hidden is None else [design.dimension, hidden, objective.classes]
    initial = check_initial_weights(initial_weights, sizes)
    if initial is not None and len(seeds) > 1:
        raise InputError("with initial_weights every seed starts alike; leave seeds at 1")
    # A difference from the full run keeps its digits in single precision; whole hidden-layer models do not.
    double = precision == "float64" or (precision == "auto" and hidden is not None)
    dtype = torch.float64 if double else torch.float32
    weights = sum((a + 1) * b for a, b in pairwise(sizes))
    _check_memory(problem, method, weights, len(samples), hessian, dtype)
    task = ProbeTask(
        design,
        objective.targets,
        objective.classes,
        settings,
        hidden=hidden,
        hessian=hessian,
        prior_precision=problem.prior_precision,
        dtype=dtype,
        initial=initial,
    )
    if method == "retrain":
        result = retrain(
            task, samples=samples, seeds=seeds, score_epochs=score_epochs, shards=shards, progress=progress
        )
    else:
        result = _trajectories(task, samples, seeds, progress)
    epochs = sorted({*score_epochs, settings.epochs}) if method == "retrain" else [settings.epochs]
    scores = SeedScores(list(seeds), epochs, result.mean_shift, result.covariance)
    facts = {
        "probe": "linear" if hidden is None else hidden,
        "learning_rate": settings.learning_rate,
        "momentum": settings.momentum,
        "epochs": settings.epochs,
        "initial_weights": "given" if initial is not None else "torch.nn.Linear",
        "precision": str(dtype).removeprefix("torch."),
        "gradient_norm": max(result.gradient_norm),
        "loss": float(np.mean(result.loss)),
        **scores.facts(),
    }
    probabilities = result.probabilities[:, -1].mean(axis=0)
    return TrainedScores(scores, probabilities, result.layers[0], facts, _notes(facts))


def _trajectories(task: ProbeTask, samples: NDArray[np.int64], seeds: Sequence[int], progress: Progress) -> Retrained:
    runs = [trajectory(task, seed, samples=samples, progress=progress) for seed in seeds]
    return Retrained(
        mean_shift=np.stack([run.mean_shift.cpu().numpy()[None] for run in runs]),
        covariance=np.stack([run.covariance.cpu().numpy()[None] for run in runs]),
        probabilities=np.stack([run.probabilities.cpu().numpy()[None] for run in runs]),
        layers=[[run.theta.cpu().numpy()] for run in runs],
        gradient_norm=[run.gradient_norm for run in runs],
        loss=[run.loss for run in runs],
    )


def _notes(facts: dict[str, Any]) -> list[str]:
    notes = []
    agreement = facts.get("seed_spearman", {}).get("mean", 1.0)
    if agreement < UNRELIABLE:
        notes.append(
            f"LSI agrees from seed to seed only at Spearman {agreement:.2f} (mean over pairs of {len(facts['seeds'])} "
            "seeds): rank samples by the mean over more seeds, or score a linear probe"
        )
    return notes


def stopped_short(
    problem: Problem, settings: SgdSettings, seed: int, facts: dict[str, Any], progress: Progress
) -> list[str]:
    """Train the linear probe once with ``settings``; a note if it stops too far from its optimum.

    The gradient norm where it stops goes into ``facts["trained_gradient_norm"]``. Both are compared as gradients: what
    is left of the full one against the mean over samples of ‖r_i‖‖x̃_i‖ / N, by which leaving one out changes it.
    """
    objective, design = problem.objective, problem.objective.design
    theta = initial_layers([design.dimension, objective.classes], seed)[0].to(design.device, torch.float64)
    velocity = torch.zeros_like(theta)
    for epoch in range(settings.epochs):
        _, gradient = objective.value_and_gradient(theta)
        settings.descend_(theta, velocity, gradient / objective.samples)
        progress("training as given", epoch + 1, settings.epochs)
    left = gradient_norm(objective, theta)
    facts["trained_gradient_norm"] = left
    own = 0.0
    for rows in design.row_blocks():
        x = design.block(rows, torch.float64)
        residual = torch.softmax(x @ theta.T, dim=1)
        residual[torch.arange(len(residual)), objective.targets[rows]] -= 1
        own += float((x.norm(dim=1) * residual.norm(dim=1)).sum())
    one = own / objective.samples**2
    if left <= one:
        return []
    return [
        f"{settings.epochs} epochs at learning rate {settings.learning_rate:g} stop at gradient norm {left:.2e}, where "
        f"one sample is worth {one:.2e}: that probe has not converged, and the closed form scores the one that has. "
        "Use method='trajectory' (or 'retrain') for the training as it stops"
    ]


def _check_memory(problem: Problem, method: str, weights: int, samples: int, hessian: str, dtype: torch.dtype) -> None:
    design, size = problem.objective.design, torch.finfo(dtype).bits / 8
    models = samples
    if method == "retrain":
        models = min(samples, models_at_once(design.device))
    classes = problem.objective.classes
    needed = training_bytes(design.rows, design.columns, classes, weights, models, method, hessian, size)
    require_memory(
        needed,
        design.device,
        f"{models:,} models of {weights:,} weights on {design.rows:,} × {design.columns:,} features",
        "Score fewer samples at a time (samples=…) or reduce the features' dimension",
    )
