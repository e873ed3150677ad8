"""The closed form against the floor of its own arithmetic.

``python -m benchmarks.closed_form [--features FILE.npz] [--samples N --dimension D --classes C] [--hessian full]``

The floor is the number of floating-point operations of everything that is done (fit, Hessian, factorisation, scores),
each at the rate of a plain matrix product of that precision measured in the same run. There are two: ``a @ b`` by
torch, and by NumPy, whose products are the faster ones on some machines and are what the engine uses. Without
``--features`` the data are synthetic.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe, product_rate
from lsi_engine import score
from lsi_engine.numerics.grams import PANEL


def operations(samples: int, dimension: int, classes: int, info: dict[str, Any]) -> tuple[float, float]:
    """Flop in float32 (streamed products, preconditioner) and in float64 (gradients, the inverse)."""
    columns, size = dimension + 1, classes - 1
    pairs = size * (size + 1) / 2
    # Symmetric blocks are computed on and above the diagonal of their panels only.
    widths = [min(PANEL, columns - start) for start in range(0, columns, PANEL)]
    block = sum(width * (columns - start) for width, start in zip(widths, range(0, columns, PANEL), strict=True))
    unknowns = size * columns
    row = 2 * pairs * block  # of the Hessian, or of the quadratic forms
    forward = 2 * samples * classes * columns
    single = 2 * samples * row + 2 * forward * info["hessian_products"]
    single += info["preconditioner_rows"] * row + (unknowns**3 / 3 if info["preconditioner_rows"] else 0)
    if info["hessian"] == "diag":
        single += 2 * samples * unknowns**2  # every Δ itself
    steps = info["newton_steps"] + 1
    return single, unknowns**3 + 3 * forward * steps


def rates() -> dict[str, tuple[float, float]]:
    """Flop a second of plain products in float32 and in float64, by library."""
    return {
        library: (product_rate(torch.float32, library=library), product_rate(torch.float64, library=library))
        for library in ("torch", "NumPy")
    }


def synthetic(samples: int, dimension: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes with correlated features and a tenth of the labels wrong."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, samples)
    mixing = random.normal(size=(dimension, dimension), scale=dimension**-0.5).astype(np.float32)
    centres = random.normal(size=(classes, dimension)).astype(np.float32)
    features = np.empty((samples, dimension), np.float32)
    for start in range(0, samples, 8192):
        rows = slice(start, start + 8192)
        noise = random.standard_normal((len(labels[rows]), dimension), np.float32)
        features[rows] = 0.3 * centres[labels[rows]] + noise @ mixing
    wrong = random.random(samples) < 0.1
    labels[wrong] = random.integers(0, classes, int(wrong.sum()))
    return features, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", help=".npz with features and labels")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--hessian", choices=("diag", "full"), default="full")
    arguments = parser.parse_args()
    print(describe())
    if arguments.features:
        with np.load(arguments.features, allow_pickle=False) as archive:
            features, labels = archive["features"], archive["labels"]
    else:
        features, labels = synthetic(arguments.samples, arguments.dimension, arguments.classes)
    samples, dimension = features.shape
    classes = len(np.unique(labels))

    before = rates()
    started = time.perf_counter()
    table = score(features, labels, hessian=arguments.hessian, feature_scaling="standardize", precision="float32")
    seconds = time.perf_counter() - started
    after = rates()
    products, factorisations = operations(samples, dimension, classes, table.info)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{samples:,} × {dimension} × {classes}, {arguments.hessian}: {seconds:.1f} s, {table.info['seconds']}")
    print(f"peak memory {peak:.2f} GiB; |g| {table.info['gradient_norm']:.1e}")
    for library, first in before.items():
        single, double = ((a + b) / 2 for a, b in zip(first, after[library], strict=True))
        floor = products / single + factorisations / double
        print(
            f"{library}'s plain products: {single / 1e9:.0f} Gflop/s float32, {double / 1e9:.0f} float64; "
            f"floor {floor:.1f} s, ratio to the floor {seconds / floor:.2f}"
        )


if __name__ == "__main__":
    main()
