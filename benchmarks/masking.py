"""Identical mislabelled pairs: does leaving their group out find what leaving one sample out cannot?

``python -m benchmarks.masking RUN`` takes a stored run's features and labels, mislabels samples that the run is
sure of, copies each one, and ranks everything by leave-one-out and by leave-group-out scores.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score

from lsi_engine import near_duplicate_groups, score, score_groups
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--pairs", type=int, default=40)
    arguments = parser.parse_args()
    store = RunStore()
    run = store.open(arguments.run)
    scores = run.scores()
    features = np.asarray(features_of(run, store.cache))
    labels = scores["label"].to_numpy(dtype=str)
    random = np.random.default_rng(0)
    sure = np.flatnonzero(scores["loo_probability"] > 0.9)
    picked = random.choice(sure, arguments.pairs, replace=False)
    step = random.integers(1, len(run.classes), len(picked))
    names = np.array(run.classes)
    labels[picked] = names[(np.searchsorted(names, labels[picked]) + step) % len(names)]
    features, labels = np.vstack([features, features[picked]]), np.r_[labels, labels[picked]]
    planted = np.isin(np.arange(len(labels)), np.r_[picked, np.arange(len(scores), len(labels))])

    alone = score(features, labels, feature_scaling="standardize").to_frame()
    groups = near_duplicate_groups(features)
    together = score_groups(features, labels, groups, feature_scaling="standardize").sample_frame()
    print(f"{len(labels):,} samples, {planted.sum()} planted, {len(np.unique(groups)):,} near-duplicate groups")
    columns = {
        "suspicion": (alone["suspicion"], together["group_suspicion"]),
        "LSI": (alone["lsi"], together["group_lsi"]),
    }
    for name, ways in columns.items():
        for way, values in zip(("one out", "group out"), ways, strict=True):
            rank = np.argsort(np.argsort(-values.to_numpy()))[planted]
            auroc = roc_auc_score(planted, values)
            print(f"{name:<10} {way:<10} AUROC {auroc:.4f}   median rank of the planted {np.median(rank):.0f}")


if __name__ == "__main__":
    main()
