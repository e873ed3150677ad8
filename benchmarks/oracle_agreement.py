"""Agreement with recorded values of the paper's reference implementation.

``--oracle DIR`` holds ``cifar10_first1000_features.npz`` and the three ``linear_*.npz`` files. Each method is run on
the same features, labels and (where it trains) initial weights; printed are Spearman's rank correlation, the median
and largest relative difference of LSI, and the seconds it took.

    python -m benchmarks.oracle_agreement --oracle DIR
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from lsi_engine import LsiError, score

FILES = ("linear_paper_settings_diag", "linear_code_defaults_diag", "linear_pca16_full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["closed_form", "trajectory", "retrain"])
    arguments = parser.parse_args()
    features = _load(arguments.oracle / "cifar10_first1000_features.npz")["features"]
    for name in FILES:
        stored = _load(arguments.oracle / f"{name}.npz")
        settings = json.loads(str(stored["settings"]))
        for method in arguments.methods:
            _compare(name, stored.get("features", features), stored, settings, method)


def _compare(name: str, features: np.ndarray, stored: dict, settings: dict, method: str) -> None:
    options: dict = {
        "method": method,
        "hessian": settings["laptype"],
        "weight_decay": settings["wd"],
        "prior_precision": settings["prior_precision"],
    }
    if method != "closed_form":
        options |= {
            "learning_rate": settings["lr"],
            "momentum": settings["mom"],
            "epochs": settings["epochs"],
            "initial_weights": (stored["init_seed5__features.0.weight"], stored["init_seed5__features.0.bias"]),
            "samples": stored["idx"],
        }
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = score(features, stored["labels"], **options)
    except LsiError as error:
        print(f"{name:28} {method:12} {error}")
        return
    seconds = time.perf_counter() - start
    lsi = table.lsi[stored["idx"]] if method == "closed_form" else table.lsi
    reference = stored["lsi"].mean(axis=0)
    difference = np.abs(lsi / reference - 1)
    print(
        f"{name:28} {method:12} Spearman {spearmanr(lsi, reference).statistic:.4f}   "
        f"median difference {np.median(difference):.2%}   largest {difference.max():.2%}   {seconds:.1f} s   "
        f"gradient norm {table.info['gradient_norm']:.1e}"
    )


def _load(path: Path) -> dict:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


if __name__ == "__main__":
    main()
