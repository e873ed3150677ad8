"""How far each estimator agrees with true retraining, and each retraining with itself from seed to seed.

``python -m benchmarks.agreement [--samples 80] [--seeds 4] [--write]`` on scikit-learn's digits (standardised, a tenth
of the labels flipped) prints the table of docs/methods.md; ``--write`` puts it there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

from lsi_engine import ScoreTable, score
from lsi_engine.curvature.gauss_newton import ggn
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.numerics.divergence import gaussian_kl

PAGE = Path(__file__).resolve().parents[1] / "docs" / "methods.md"
BEGIN, END = "<!-- agreement: begin -->", "<!-- agreement: end -->"
#: The paper's settings, and those of its code, at which a probe is far from its optimum.
CONVERGED = {"weight_decay": 0.01, "learning_rate": 0.04, "epochs": 4000}
UNCONVERGED = {"weight_decay": 1e-4, "learning_rate": 0.004, "epochs": 1000}
HIDDEN = {"weight_decay": 0.01, "learning_rate": 0.04, "epochs": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="replace the table in docs/methods.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    x, y, flipped = digits()
    random = np.random.default_rng(1)
    half = arguments.samples // 2
    chosen = np.sort(
        np.concatenate(
            [random.choice(np.flatnonzero(flipped), half, False), random.choice(np.flatnonzero(~flipped), half, False)]
        )
    )
    rows = [*linear(x, y, chosen), *structures(x, y, chosen), *hidden(x, y, chosen, flipped, arguments.seeds)]
    lines = [
        f"`python -m benchmarks.agreement --samples {arguments.samples} --seeds {arguments.seeds}`: digits, "
        f"{len(x):,} × {x.shape[1]}, 10 classes, 10 % of the labels flipped, {len(chosen)} samples left out, half of "
        "them flipped.",
        "",
        "| estimator | against | Spearman | median difference | seconds |",
        "|---|---|---|---|---|",
        *rows,
    ]
    print("\n".join(lines))
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1], encoding="utf-8")


def digits() -> tuple[NDArray, NDArray, NDArray]:
    """Standardised features, labels with a tenth flipped, and which."""
    x, y = load_digits(return_X_y=True)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
    random = np.random.default_rng(0)
    flipped = np.zeros(len(y), dtype=bool)
    flipped[random.choice(len(y), len(y) // 10, False)] = True
    return x, np.where(flipped, (y + random.integers(1, 10, len(y))) % 10, y), flipped


def linear(x: NDArray, y: NDArray, chosen: NDArray) -> list[str]:
    rows = []
    for hessian in ("diag", "full", "kron"):
        truth, _ = timed(x, y, method="retrain", hessian=hessian, samples=chosen, **CONVERGED)
        found, seconds = timed(x, y, hessian=hessian, weight_decay=CONVERGED["weight_decay"])
        rows.append(
            compare(f"closed form, {hessian}", "retraining, 4000 epochs", found.lsi[chosen], truth.lsi, seconds)
        )
    truth, seconds = timed(x, y, method="retrain", samples=chosen, **UNCONVERGED)
    rows.append(f"| retraining, 1000 epochs, lr 0.004, wd 1e-4, diag | itself | 1 | 0 | {seconds:.1f} |")
    found, seconds = timed(x, y, method="trajectory", samples=chosen, **UNCONVERGED)
    rows.append(compare("trajectory, same settings", "the same retraining", found.lsi, truth.lsi, seconds))
    found, seconds = timed(x, y, weight_decay=UNCONVERGED["weight_decay"])
    rows.append(compare("closed form, same wd", "the same retraining", found.lsi[chosen], truth.lsi, seconds))
    return rows


def structures(x: NDArray, y: NDArray, chosen: NDArray) -> list[str]:
    """The posterior's structures against the full one, on all samples; plain K-FAC densely, on the chosen."""
    full, _ = timed(x, y, hessian="full")
    rows = []
    for hessian in ("kron", "diag"):
        found, seconds = timed(x, y, hessian=hessian)
        rows.append(compare(f"{hessian} posterior, all samples", "full posterior", found.lsi, full.lsi, seconds))
    started = time.perf_counter()
    plain = plain_kfac(x, y, full, chosen)
    rows.append(
        compare(
            "K-FAC, eigenvalues uncorrected", "full posterior", plain, full.lsi[chosen], time.perf_counter() - started
        )
    )
    return rows


def plain_kfac(x: NDArray, y: NDArray, full: ScoreTable, chosen: NDArray) -> NDArray:
    """LSI under P = (ΣF) ⊗ (Σx̃x̃ᵀ)/N + δ, dense, factors formed anew without the sample; shift as in the closed form."""
    samples, wd = len(x), full.info["weight_decay"]
    design = Design(x, FeatureScaling.identity(x.shape[1]))
    basis = contrasts(10, dtype=torch.float64, device=torch.device("cpu"))
    theta = torch.from_numpy(np.hstack([full.weight, full.bias[:, None]]))
    rows = design.block(slice(0, samples), torch.float64)
    p = torch.softmax(rows @ theta.T, dim=1)
    curvature = ggn(design, p, basis, dtype=torch.float64)
    factor = basis.T @ (torch.diag(p.sum(dim=0)) - p.T @ p) @ basis
    gram = rows.T @ rows
    delta = torch.eye(len(curvature), dtype=torch.float64) * samples * wd
    whole = torch.kron(factor, gram) / samples + delta
    found = []
    for i in chosen:
        row, probability = rows[i], p[i]
        f = basis.T @ (torch.diag(probability) - torch.outer(probability, probability)) @ basis
        own = torch.kron(f, torch.outer(row, row))
        residual = probability.clone()
        residual[y[i]] -= 1
        kick = torch.kron(basis.T @ residual, row) + wd * (basis.T @ theta).flatten()
        hessian = curvature - own
        hessian.diagonal().add_((samples - 1) * wd)
        step = torch.linalg.solve(hessian, kick)
        rest = torch.kron(factor - f, gram - torch.outer(row, row)) / (samples - 1) + delta
        found.append(float(gaussian_kl(torch.zeros_like(step), whole, step, rest).total))
    return np.array(found)


def hidden(x: NDArray, y: NDArray, chosen: NDArray, flipped: NDArray, seeds: int) -> list[str]:
    """Seed-to-seed agreement of a probe with 32 hidden units, and of what might be used in its place."""
    numbers = range(5, 5 + seeds)
    options = {"method": "retrain", "probe": 32, "samples": chosen, "precision": "float32", **HIDDEN}
    cold, seconds = [], 0.0
    heads = []
    for seed in numbers:
        table, spent = timed(x, y, seeds=[seed], **options)
        cold.append(table.lsi)
        heads.append(table.layers)
        seconds += spent
    rows = [agree("hidden layer of 32, retrained from initial weights", cold, seconds / seeds)]
    means = [np.mean([cold[k] for k in group], axis=0) for group in (range(0, seeds, 2), range(1, seeds, 2))]
    rows.append(agree(f"… mean of {seeds // 2} seeds against mean of {seeds // 2} others", means, seconds))
    warm, seconds = [], 0.0
    for layers in heads:
        given = [part for layer in layers for part in (layer[:, :-1], layer[:, -1])]
        table, spent = timed(x, y, initial_weights=given, **options)
        warm.append(table.lsi)
        seconds += spent
    rows.append(agree("… retraining goes on from the trained network", warm, seconds / seeds))
    last, seconds = [], 0.0
    for layers in heads:
        activations = np.maximum(np.hstack([x, np.ones((len(x), 1))]) @ layers[0].T, 0)
        table, spent = timed(activations, y)
        last.append(table.lsi)
        seconds += spent
    rows.append(
        agree("last layer in closed form on each seed's hidden units", [lsi[chosen] for lsi in last], seconds / seeds)
    )
    direct, seconds = timed(x, y)
    rows.append(agree("linear probe in closed form", [direct.lsi[chosen]] * 2, seconds))
    from sklearn.metrics import roc_auc_score

    found = {
        "retrained, mean of all seeds": np.mean(cold, axis=0),
        "going on from the trained network, mean": np.mean(warm, axis=0),
        "last layer, mean": np.mean([lsi[chosen] for lsi in last], axis=0),
        "linear probe": direct.lsi[chosen],
    }
    text = ", ".join(f"{name} {roc_auc_score(flipped[chosen], lsi):.3f}" for name, lsi in found.items())
    return [*rows, f"| flipped labels found by LSI (AUROC on the left-out samples) | truth | {text} | | |"]


def timed(x: NDArray, y: NDArray, **options: object) -> tuple[ScoreTable, float]:
    started = time.perf_counter()
    return score(x, y, **options), time.perf_counter() - started  # type: ignore[arg-type]


def compare(name: str, against: str, found: NDArray, truth: NDArray, seconds: float) -> str:
    difference = np.median(np.abs(found / truth - 1))
    return f"| {name} | {against} | {spearmanr(found, truth).statistic:.5f} | {difference:.2%} | {seconds:.1f} |"


def agree(name: str, scores: list[NDArray], seconds: float) -> str:
    pairs = [(a, b) for a, b in combinations(scores, 2)]
    ranks = [spearmanr(a, b).statistic for a, b in pairs]
    difference = np.mean([np.median(np.abs(a / b - 1)) for a, b in pairs])
    spread = f"{np.mean(ranks):.3f} (lowest {min(ranks):.3f})"
    return f"| {name} | itself, other seeds | {spread} | {difference:.1%} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
