"""A probe on so many classes that no full Hessian fits: what ``hessian="auto"`` chooses, its time, memory and errors.

``python -m benchmarks.many_classes [--features FILE.npz] [--samples 20000] [--dimension 2048] [--classes 1000]
[--flips 0.05] [--hessian auto] [--refits 20] [--tolerance 1e-9] [--memory 16]``

FILE.npz holds ``features`` and ``labels``; without it the features are synthetic: overlapping classes, a share of the
labels wrong. Printed beside time and peak memory are the choice, its reason, how well wrong labels are found, and the
errors of as many random rows and of as many of the highest LSI against refits of each to its optimum (plain NumPy,
``benchmarks/newton_refits.py``). The floor is the time of the run's own products, as ``lsi_engine.scores.cost`` counts
them, at the rate of large square ones. ``--memory`` stands for the machine's GiB in the choice of the structure: with
little, few classes are scored as many are.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.machine import describe
from benchmarks.newton_refits import Refits
from lsi_engine import ScoreTable, score
from lsi_engine.numerics.design import FeatureScaling
from lsi_engine.scores import structure
from lsi_engine.scores.cost import Task, work
from lsi_engine.scores.speed import measured_speed

WEIGHT_DECAY = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", help="an .npz file with features and labels, instead of synthetic ones")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--flips", type=float, default=0.05)
    parser.add_argument("--hessian", choices=("auto", "kron"), default="auto")
    parser.add_argument("--refits", type=int, default=20)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--memory", type=float, help="GiB that the machine is taken to have")
    arguments = parser.parse_args()
    print(describe())
    if arguments.memory:
        structure._total_memory = lambda device: arguments.memory * 2**30
    features, labels = _data(arguments)
    classes = int(labels.max()) + 1
    random = np.random.default_rng(0)
    wrong = random.random(len(labels)) < arguments.flips
    given = np.where(wrong, (labels + random.integers(1, classes, len(labels))) % classes, labels)
    speed = measured_speed()
    last = [""]

    def progress(stage: str, done: int, total: int) -> None:
        if stage != last[0]:
            print(f"  {time.perf_counter() - started:7.1f} s, processor {time.process_time() - spent:.0f} s  {stage}")
            last[0] = stage

    started, spent = time.perf_counter(), time.process_time()
    table = score(
        features,
        given,
        hessian=arguments.hessian,
        weight_decay=WEIGHT_DECAY,
        feature_scaling="standardize",
        tolerance=arguments.tolerance,
        progress=progress,
    )
    seconds, processor = time.perf_counter() - started, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    task = Task(len(given), features.shape[1], classes, len(given), hessian=arguments.hessian)
    counted = work(task)
    floor = counted.single / speed.single + counted.double / speed.double
    shape = " x ".join(f"{size:,}" for size in (*features.shape, classes))
    print(
        f"{shape}: {seconds:.1f} s, processor {processor:.0f} s, peak {peak:.1f} GiB; the counted products alone "
        f"{floor:.1f} s ({seconds / floor:.1f} times as long)"
    )
    names = ("hessian", "hessian_reason", "shift", "error_estimate", "gradient_norm", "hessian_products")
    for name in (*names, "warnings", "seconds"):
        if name in table.info:
            print(f"  {name}: {table.info[name]}")
    if arguments.flips:
        auroc = {name: roc_auc_score(wrong, getattr(table, name)) for name in ("lsi", "suspicion")}
        print("  wrong labels found, AUROC: " + ", ".join(f"{name} {value:.3f}" for name, value in auroc.items()))
    if arguments.refits:
        _errors(features, given, table, arguments.refits)


def _data(arguments: argparse.Namespace) -> tuple[NDArray, NDArray[np.int64]]:
    if arguments.features:
        with np.load(arguments.features) as stored:
            return stored["features"], np.unique(stored["labels"], return_inverse=True)[1]
    random = np.random.default_rng(1)
    labels = random.integers(0, arguments.classes, arguments.samples)
    centres = 0.4 * random.standard_normal((arguments.classes, arguments.dimension), np.float32)
    return centres[labels] + random.standard_normal((arguments.samples, arguments.dimension), np.float32), labels


def _errors(features: NDArray, labels: NDArray[np.int64], table: ScoreTable, count: int) -> None:
    """Print how far random rows and the highest ones are off."""
    scaling = FeatureScaling.standardize(features)
    design = np.hstack([(features.astype(np.float64) - scaling.mean) / scaling.scale, np.ones((len(labels), 1))])
    theta = np.hstack([table.weight, table.bias[:, None]])
    started = time.perf_counter()
    refits = Refits(design, labels, WEIGHT_DECAY, theta)
    groups = {
        "random": np.random.default_rng(2).choice(len(labels), count, replace=False),
        "highest": np.argsort(-table.lsi)[:count],
    }
    for name, rows in groups.items():
        energy, probabilities, left = refits.leave_out(rows)
        off = np.abs(table.lsi_mean_shift[rows] / energy - 1)
        moved = np.abs(table.probabilities[rows] - probabilities).max(axis=1)
        print(
            f"  {count} {name} rows against refits (full posterior): mean shift off by median {np.median(off):.2%}, "
            f"90 % {np.quantile(off, 0.9):.2%}, worst {off.max():.2%}; probability median {np.median(moved):.4f}, "
            f"worst {moved.max():.4f}; gradient left {left.max():.1e}",
            flush=True,
        )
    print(f"  refits: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
