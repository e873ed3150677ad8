"""True leave-one-out retraining of the linear probe against the floor of its own arithmetic.

The floor is three matrix products of 2·N·D·C flop a step and model (forward, and two where a framework would
backpropagate), done as plain float32 products of the best shape on this machine. Both are measured in turn, several
times, and the fastest of each counts, so that other work on the machine disturbs the ratio little.

    python -m benchmarks.retrain [--samples 1000 --dimension 512 --classes 10 --models 256 --epochs 40 --device cpu]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks.machine import describe
from lsi_engine.training.batches.linear import LinearBatch
from lsi_engine.training.descent import SgdSettings, initial_layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--models", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    n, d, c, m = arguments.samples, arguments.dimension, arguments.classes, arguments.models
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % c
    features = torch.randn(n, d, generator=generator) + 0.3 * torch.randn(c, d, generator=generator)[labels]
    x = torch.cat([features, torch.ones(n, 1)], dim=1).double().to(arguments.device)
    settings = SgdSettings(learning_rate=0.01)
    batch = LinearBatch(
        x,
        labels.to(x.device),
        initial_layers([d, c], 5),
        torch.arange(m, device=x.device),
        settings,
        hessian="diag",
        prior_precision=1.0,
        dtype=torch.float32,
    )
    x32, weights = features.to(x.device), torch.randn(d, m * c, generator=generator).to(x.device)
    logits = x32 @ weights

    def floor() -> None:
        torch.mm(x32, weights, out=logits)
        x32.T @ logits
        torch.mm(x32, weights, out=logits)

    steps = {"floor": floor, "retrain": batch.step}
    fastest = dict.fromkeys(steps, float("inf"))
    for _ in range(arguments.epochs):
        for name, step in steps.items():
            fastest[name] = min(fastest[name], _seconds(step, x.is_cuda) / m)
    scored = _seconds(batch.score, x.is_cuda) / m
    flop = 6.0 * n * d * c
    print(f"N = {n}, D = {d}, C = {c}, {m} models side by side; {describe()}")
    for name, seconds in fastest.items():
        print(f"{name:8} {seconds * 1e3:7.3f} ms a step and model: {flop / seconds / 1e9:6.1f} Gflop/s of the floor's")
    each = 1000 * fastest["retrain"] + scored
    print(f"ratio to the floor: {fastest['retrain'] / fastest['floor']:.2f}")
    print(f"1000 epochs: {each:.3f} s a left-out sample, {scored * 1e3:.1f} ms of it for the posterior")


def _seconds(work: Callable[[], object], on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
