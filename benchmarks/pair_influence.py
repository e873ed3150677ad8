"""Does one Newton step stand in for retraining without each pair? Against a stored run's own retraining.

``python -m benchmarks.pair_influence RUN``: RUN is a run of pairs under the ``dot`` similarity. The step is
−H⁻¹∇_i from the optimum on all pairs: ∇_i the gradient without the pair's row and column, H the Hessian of all pairs
(``influence``) or of the others (``own Hessian``, another system for each pair), by conjugate gradients.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import safetensors.numpy
import torch
from scipy.stats import spearmanr
from torch.autograd import forward_ad

from lsi_engine.curvature.pairs import contrastive_ggn
from lsi_engine.losses.contrastive import ContrastiveLoss, absent_entries
from lsi_engine.numerics.divergence import gaussian_kl
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStore
from lsi_engine.scores.lsi.pairs import as_pairs
from lsi_engine.training.batches.pairs import match_probabilities, mean_gradients

PRODUCTS = 200


def main(name: str) -> None:
    """Print Spearman's correlation and the median error of LSI and suspicion, and the time of each estimate."""
    store = RunStore()
    run = store.open(name)
    frame, info = run.scores(), run.provenance["engine"]
    split = int(str(run.provenance["extractor_key"]).rpartition("@")[2])
    features = features_of(run, store.cache)
    groups = run.samples()["group"].to_numpy(dtype=str)
    pairs = as_pairs(features[:, :split], features[:, split:], groups, info["feature_scaling"], "cpu")
    loss, decay = ContrastiveLoss(info["temperature"], info["similarity"]), info["weight_decay"]
    stored = safetensors.numpy.load_file(run.path / "probe.safetensors")
    heads = [
        torch.from_numpy(np.hstack([stored[f"{side}_weight"], stored[f"{side}_bias"][:, None]]))
        for side in ("image", "text")
    ]
    shapes, sizes = [head.shape for head in heads], [head.numel() for head in heads]
    theta = torch.cat([head.flatten() for head in heads])
    count = len(pairs)
    rows = torch.arange(count)

    def at(point: torch.Tensor) -> list[torch.Tensor]:
        return [part.view(len(point), *shape) for part, shape in zip(point.split(sizes, dim=1), shapes, strict=True)]

    def gradient(point: torch.Tensor, without: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.flatten(1) for part in mean_gradients(loss, pairs, at(point), without, decay)[0]], 1)

    def absent(row: int) -> torch.Tensor:
        return absent_entries(pairs.groups, torch.tensor([row]))[0]

    def curvature(point: torch.Tensor, row: int) -> torch.Tensor:
        image, text = (head[0] for head in at(point[None]))
        return contrastive_ggn(loss, pairs.images, pairs.texts, (image, text), absent(row), "diag")

    base = curvature(theta, -1)
    whole = theta.expand(count, -1).contiguous()
    for what, without in (("influence", torch.full_like(rows, -1)), ("own Hessian", rows)):
        started = time.perf_counter()
        move = solve(lambda v, w=without: product(gradient, whole, v, w), gradient(whole, rows), base / count + decay)
        found = whole - move
        spent = time.perf_counter() - started
        lsi, doubt = [], []
        for i in range(count):
            other = curvature(found[i], i)
            parts = gaussian_kl(theta, base + count * decay, found[i], other + count * decay)
            lsi.append(float(parts.total))
            image, text = (head[0] for head in at(found[i][None]))
            doubt.append(1 - float(match_probabilities(loss, pairs, (image, text), i)[i]))
        error = np.median(np.abs(np.array(lsi) / frame["lsi"] - 1))
        ranks = [spearmanr(a, b).statistic for a, b in ((lsi, frame["lsi"]), (doubt, frame["suspicion"]))]
        print(
            f"{what}: {spent:.1f} s; LSI Spearman {ranks[0]:.3f}, median error {error:.0%}; "
            f"suspicion Spearman {ranks[1]:.3f} (mean {np.mean(doubt):.3f} against {frame['suspicion'].mean():.3f})",
            flush=True,
        )


def product(gradient, point: torch.Tensor, direction: torch.Tensor, without: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(gradient(forward_ad.make_dual(point, direction), without)).tangent


def solve(product, right: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """H⁻¹ ``right`` row by row, by conjugate gradients preconditioned with ``scale``."""
    solution, residual = torch.zeros_like(right), right.clone()
    direction = residual / scale
    size = (residual * direction).sum(dim=1, keepdim=True)
    first = size.clone()
    for _ in range(PRODUCTS):
        curved = product(direction)
        along = (direction * curved).sum(dim=1, keepdim=True)
        running = (along > 0) & (size > 1e-8 * first)
        if not bool(running.any()):
            break
        length = torch.where(running, size / along, 0)
        solution += length * direction
        residual -= length * curved
        conditioned = residual / scale
        renewed = (residual * conditioned).sum(dim=1, keepdim=True)
        direction = conditioned + torch.where(running, renewed / size, 0) * direction
        size = torch.where(running, renewed, size)
    return solution


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    main(parser.parse_args().run)
