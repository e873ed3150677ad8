"""A probe on as many classes and features as ImageNet's: what ``hessian="auto"`` chooses, its time and its memory.

``python -m benchmarks.many_classes [--samples 20000] [--dimension 2048] [--classes 1000] [--flips 0.05]``

The features are synthetic: overlapping classes, a share of the labels wrong. Printed beside time and peak memory are
the choice, its reason, and how well LSI and suspicion find the wrong labels; the floor is the fit's own products.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.machine import describe, product_rate
from lsi_engine import score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--flips", type=float, default=0.05)
    arguments = parser.parse_args()
    print(describe())
    random = np.random.default_rng(0)
    labels = random.integers(0, arguments.classes, arguments.samples)
    centres = 0.4 * random.standard_normal((arguments.classes, arguments.dimension), np.float32)
    features = centres[labels] + random.standard_normal((arguments.samples, arguments.dimension), np.float32)
    wrong = random.random(arguments.samples) < arguments.flips
    given = np.where(
        wrong, (labels + random.integers(1, arguments.classes, arguments.samples)) % arguments.classes, labels
    )
    rate = product_rate(torch.float32, rounds=3)
    last = [""]

    def progress(stage: str, done: int, total: int) -> None:
        if stage != last[0]:
            print(f"  {time.perf_counter() - started:7.1f} s  {stage}", flush=True)
            last[0] = stage

    started = time.perf_counter()
    table = score(features, given, hessian="auto", progress=progress)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shape = f"{arguments.samples:,} x {arguments.dimension:,} x {arguments.classes:,}"
    print(f"{shape}: {seconds:.1f} s, peak {peak:.1f} GiB, {rate / 1e9:.0f} Gflop/s float32")
    for name in ("hessian", "hessian_reason", "structure", "gradient_norm", "seconds"):
        if name in table.info:
            print(f"  {name}: {table.info[name]}")
    auroc = {name: roc_auc_score(wrong, getattr(table, name)) for name in ("lsi", "suspicion")}
    print("  wrong labels found, AUROC: " + ", ".join(f"{name} {value:.3f}" for name, value in auroc.items()))


if __name__ == "__main__":
    main()
