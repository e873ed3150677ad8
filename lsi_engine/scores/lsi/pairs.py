"""Laplace Sample Information of image–text pairs under two contrastive heads."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError, LsiWarning, one_of
from lsi_engine.inputs import check_features, check_groups, check_samples
from lsi_engine.losses.contrastive import ContrastiveLoss, Similarity
from lsi_engine.numerics.device import device_named
from lsi_engine.numerics.memory import require_memory
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.pair_scores import PairScores
from lsi_engine.scores.lsi.pair_task import PairTask
from lsi_engine.scores.lsi.retrain import Retrained, Shards, models_at_once, retrain
from lsi_engine.scores.lsi.trained import UNRELIABLE
from lsi_engine.scores.seeds import SeedScores
from lsi_engine.settings import check_seeds
from lsi_engine.training.batches.pairs import Pairs
from lsi_engine.training.descent import SgdSettings
from lsi_engine.training.pair_fit import TOLERANCE

PairScaling = Literal["unit", "none"]
#: Times the full run's gradient norm from which on a left-out run has not arrived where the full run has.
FAR_ABOVE = 10.0


def score_pairs(
    images: ArrayLike | torch.Tensor,
    texts: ArrayLike | torch.Tensor,
    *,
    groups: ArrayLike | None = None,
    dimension: int = 16,
    temperature: float = 1.0,
    similarity: Similarity = "dot",
    start: Literal["optimum", "initial"] = "optimum",
    weight_decay: float = 0.3,
    hessian: Literal["diag", "full"] = "diag",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    feature_scaling: PairScaling = "unit",
    learning_rate: float = 0.005,
    momentum: float = 0.9,
    epochs: int = 1000,
    seeds: int | Sequence[int] = 1,
    samples: ArrayLike | None = None,
    precision: Literal["float32", "float64"] = "float32",
    device: str | torch.device | None = None,
    shards: Shards | None = None,
    progress: Progress = silent,
) -> PairScores:
    """Train the heads once on all pairs and once without each, and compare the Laplace posteriors over both heads.

    The loss and what leaving a pair out means: :mod:`lsi_engine.losses.contrastive`. The posterior is fitted on all
    pairs.

    With ``start="optimum"`` the full run is first brought to its optimum, and every leave-one-out training goes on from
    there: LSI then depends on the data and not on the seed. With ``start="initial"`` every training starts from the
    seed's initial weights, as in the paper; the ordering of the pairs then differs much from seed to seed.

    Parameters
    ----------
    images, texts
        ``(N, D_image)`` and ``(N, D_text)`` features of frozen encoders; row i of both is pair i.
    groups
        ``(N,)``: pairs of one group (captions of one image) are no negatives of each other. All differ by default.
    dimension
        d of the shared space.
    temperature, similarity
        Of :class:`~lsi_engine.losses.contrastive.ContrastiveLoss`.
    start
        ``"optimum"`` (``similarity="dot"`` only, as cosine has none) or ``"initial"``.
    weight_decay, learning_rate, momentum, epochs
        Full-batch Nesterov gradient descent on the mean loss.
    hessian, prior_precision
        Structure of the generalised Gauss–Newton matrix (summed over pairs) and δ, ``"weight_decay"`` for N·wd.
    feature_scaling
        ``"unit"``: each row of features is divided by its own root mean square. Nothing is centred: a mean over all
        pairs would carry the left-out pair into every training (with more features than pairs, exactly so).
    seeds
        k, or the seeds themselves: one full set of trainings each.
    samples
        Pairs to leave out; all by default.
    shards
        Finished trainings are put here and looked up here first.
    progress
        Stages "full run", "retrain" and "posteriors".

    Raises
    ------
    InputError
        For features, groups or settings that cannot be used, naming the row or the value.
    NotConverged
        When training diverges or oscillates.
    """
    started = time.perf_counter()
    one_of("hessian", hessian, ("diag", "full"))
    one_of("precision", precision, ("float32", "float64"))
    one_of("start", start, ("optimum", "initial"))
    loss = ContrastiveLoss(temperature, similarity)
    if start == "optimum" and similarity == "cosine":
        raise InputError(
            "the cosine loss has no optimum under weight decay, which only shortens the weights: "
            "use start='initial', or similarity='dot'"
        )
    settings = SgdSettings(learning_rate, momentum, epochs, weight_decay)
    pairs = as_pairs(images, texts, groups, feature_scaling, device)
    if isinstance(dimension, bool) or int(dimension) != dimension or dimension < 1:
        raise InputError(f"dimension is {dimension}; the shared space needs a whole number of at least 1")
    delta = len(pairs) * weight_decay if prior_precision == "weight_decay" else float(prior_precision)
    if not (math.isfinite(delta) and delta > 0):
        raise InputError(f"prior_precision is {prior_precision}; it must be positive and finite, or 'weight_decay'")
    rows, chosen = check_samples(samples, len(pairs)), check_seeds(seeds)
    dtype = torch.float64 if precision == "float64" else torch.float32
    weights = dimension * (pairs.images.shape[1] + pairs.texts.shape[1])
    models = min(len(rows), models_at_once(pairs.groups.device))
    require_memory(
        3.0 * models * weights * dtype.itemsize
        + 40.0 * len(pairs) ** 2
        + (32.0 * weights**2 if hessian == "full" else 0),
        pairs.groups.device,
        f"{models:,} pairs of heads with {weights:,} weights on {len(pairs):,} pairs",
        "Lower dimension, use hessian='diag', or score fewer pairs at a time (samples=…)",
    )
    task = PairTask(pairs, loss, int(dimension), settings, hessian, delta, dtype, start, progress)
    result = retrain(task, samples=rows, seeds=chosen, shards=shards, progress=progress)
    scores = SeedScores(chosen, [settings.epochs], result.mean_shift, result.covariance)
    info = {
        "method": "retrain",
        "probe": "contrastive",
        "dimension": int(dimension),
        "temperature": temperature,
        "similarity": similarity,
        "start": start,
        "hessian": hessian,
        "weight_decay": weight_decay,
        "prior_precision": delta,
        "feature_scaling": feature_scaling,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "epochs": epochs,
        "precision": precision,
        "gradient_norm": max(result.gradient_norm),
        "loss": float(np.mean(result.loss)),
        "chance_loss": math.log(len(pairs)),
        **scores.facts(),
        "seconds": {"retrain": round(time.perf_counter() - started, 3)},
    }
    notes = _stopped_early(result, rows, info)
    reliability = info.get("seed_spearman", {}).get("mean")
    if reliability is not None:
        info["reliability"] = reliability
        if reliability < UNRELIABLE:
            notes.append(
                f"LSI agrees from seed to seed only at Spearman {reliability:.2f} (mean over pairs of {len(chosen)} "
                "seeds): rank pairs by the mean over more seeds"
            )
    for note in notes:
        warnings.warn(note, LsiWarning, stacklevel=2)
    info["warnings"] = notes
    return PairScores(
        lsi_mean_shift=result.mean_shift[:, -1].mean(axis=0),
        lsi_covariance=result.covariance[:, -1].mean(axis=0),
        matches=result.probabilities[:, -1].mean(axis=0),
        heads=result.layers[0],
        index=rows,
        seed_scores=scores,
        info=info,
    )


def _stopped_early(result: Retrained, rows: NDArray[np.int64], info: dict[str, Any]) -> list[str]:
    """Record how far the left-out runs are from where their gradient vanishes; notes where one is far off.

    A run that stops on the way, or on a saddle between two optima, has a larger gradient than the full run has, and its
    pair an LSI that another epoch would change.
    """
    if result.gradient_norms is None:
        return []
    norms = result.gradient_norms[:, -1].max(axis=0)
    worst = int(norms.argmax())
    info["left_out_gradient_norm"] = {
        "median": float(np.median(norms)),
        "largest": float(norms[worst]),
        "pair": int(rows[worst]),
    }
    notes = []
    if info["start"] == "optimum" and info["gradient_norm"] > FAR_ABOVE * TOLERANCE:
        notes.append(
            f"the run on all pairs left the optimum that it began at, which was a saddle, and stops at gradient norm "
            f"{info['gradient_norm']:.1e}, short of another one; raise epochs or learning_rate, or weight_decay"
        )
    limit = FAR_ABOVE * max(info["gradient_norm"], TOLERANCE)
    far = rows[norms > limit]
    if len(far):
        named = ", ".join(map(str, far[:5])) + ("…" if len(far) > 5 else "")
        notes.append(
            f"{len(far)} of {len(rows)} runs without a pair stop at a gradient norm above {limit:.1e}, {FAR_ABOVE:g} "
            f"times that of the run on all pairs (pairs {named}; the largest is {norms[worst]:.1e}): they are on their "
            "way, or on a saddle, and their LSI is not that of an optimum; raise epochs"
        )
    return notes


def as_pairs(
    images: ArrayLike | torch.Tensor,
    texts: ArrayLike | torch.Tensor,
    groups: ArrayLike | None,
    feature_scaling: PairScaling,
    device: str | torch.device | None,
) -> Pairs:
    """Checked, scaled features with their bias column, float64. Raises ``InputError`` naming what is wrong."""
    one_of("feature_scaling", feature_scaling, ("unit", "none"))
    parts = []
    for name, given in (("images", images), ("texts", texts)):
        try:
            checked = check_features(given)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if device is None and isinstance(checked, torch.Tensor):
            device = checked.device
        features = torch.as_tensor(checked).to(device_named(device), torch.float64)
        if feature_scaling == "unit":
            size = features.square().mean(dim=1, keepdim=True).sqrt()
            # A blank image has no direction to keep; it stays the zero that it is.
            features = features / torch.where(size > 0, size, 1)
        parts.append(torch.cat([features, features.new_ones(len(features), 1)], dim=1))
    if len(parts[0]) != len(parts[1]):
        raise InputError(f"{len(parts[0])} images but {len(parts[1])} texts; row i of both must be pair i")
    if len(parts[0]) < 3:
        raise InputError(f"{len(parts[0])} pairs: at least 3 are needed, so that one can be left out of a comparison")
    codes = np.arange(len(parts[0])) if groups is None else check_groups(groups, len(parts[0]), "pairs")[0]
    if len(np.unique(codes)) < 3:
        raise InputError("all pairs belong to one or two groups: there is nothing to tell a pair's partner from")
    return Pairs(parts[0], parts[1], torch.as_tensor(codes, dtype=torch.int64, device=parts[0].device))
