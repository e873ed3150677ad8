"""What the diagonal posterior loses by keeping the other samples' curvature at θ, and what following it costs.

``python -m benchmarks.diagonal FILE.npz [--dimension 128]`` (features, labels); prints a line a sample size.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from scipy.stats import spearmanr

from lsi_engine import score
from lsi_engine.scores.lsi import closed_form


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features")
    parser.add_argument("--dimension", type=int, default=128)
    arguments = parser.parse_args()
    with np.load(arguments.features, allow_pickle=False) as archive:
        features, labels = archive["features"][:, : arguments.dimension], archive["labels"]
    closed_form.FOLLOW_WORK = 0.0
    for samples in (4_000, 10_000, 20_000, 50_000):
        if samples > len(features):
            break
        found, seconds = [], []
        for limit in (0.0, math.inf):
            closed_form.FOLLOW = limit
            started = time.perf_counter()
            found.append(score(features[:samples], labels[:samples], feature_scaling="standardize").lsi)
            seconds.append(time.perf_counter() - started)
        kept, followed = found
        change = np.abs(kept / followed - 1)
        weights = (len(np.unique(labels[:samples])) - 1) * (arguments.dimension + 1)
        print(
            f"N {samples:>6,}  K/N {weights / samples:.3f}  Spearman {spearmanr(kept, followed).statistic:.7f}  "
            f"difference median {np.median(change):.2%} p95 {np.quantile(change, 0.95):.2%}  "
            f"time followed / kept {seconds[1] / seconds[0]:.2f}"
        )


if __name__ == "__main__":
    main()
