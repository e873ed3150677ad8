"""How far the closed form is from refits of every leave-one-out optimum, by data, posterior and part of LSI.

``python -m benchmarks.exactness [--rows N]``

The reference is plain NumPy (``tests/engine/exact_refits.py``): each optimum refitted to rounding, both posteriors
formed densely at their own weights. It shares no code and no approximation with the engine. The last columns say how
far another sample's leave-one-out probability is off.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from lsi_engine import score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "engine"))
from exact_refits import Refits

SETS = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
WEIGHT_DECAY = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60, help="of each set, evenly spaced, that are refitted")
    rows = parser.parse_args().rows
    print(f"{'':<14}{'N':>6}{'K':>6}  posterior  part        Spearman  median   worst")
    for name, load in SETS.items():
        x, y = load(return_X_y=True)
        x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
        chosen = np.unique(np.linspace(0, len(x) - 1, rows).round().astype(int))
        refits = Refits(x, y, WEIGHT_DECAY)
        exact = [refits.leave_out(int(row), ("diag", "kron", "full")) for row in chosen]
        for structure in ("diag", "kron", "full"):
            table = score(x, y, weight_decay=WEIGHT_DECAY, hessian=structure, samples=chosen)
            truth = {
                "lsi": np.array([each.parts[structure].lsi for each in exact]),
                "mean shift": np.array([each.parts[structure].mean_shift for each in exact]),
                "covariance": np.array([each.parts[structure].covariance for each in exact]),
            }
            ours = {"lsi": table.lsi, "mean shift": table.lsi_mean_shift, "covariance": table.lsi_covariance}
            for part, right in truth.items():
                off = np.abs(ours[part] / right - 1)
                rank = spearmanr(ours[part], right).statistic
                size = f"{len(x):>6}{(len(set(y)) - 1) * (x.shape[1] + 1):>6}"
                errors = f"{np.median(off):6.2%}  {off.max():7.2%}"
                print(f"{name:<14}{size}  {structure:<9}  {part:<10}  {rank:8.5f}  {errors}")


if __name__ == "__main__":
    main()
