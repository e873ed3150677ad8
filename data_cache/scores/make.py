"""Make the published scores in this folder: ``python data_cache/scores/make.py --help``.

Each file is written by :func:`lsi_engine.runs.published.publish` from a run that this script computes, so everything
that is needed to make it again is the dataset and, for images, the weights of the backbone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.published import publish
from lsi_engine.runs.store import RunStore

HERE = Path(__file__).resolve().parent
OWN = "No rights are claimed in the scores."
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BACKBONE = "SqueezeNet-1.1 (ImageNet weights, MIT), mean of its last feature map"


def made(name: str, store: RunStore, facts: dict[str, Any], *, by_content: bool = False, **config: Any) -> None:
    run, _ = compute(RunConfig(name=name, hessian="full", **config), store)
    path = publish(run, HERE, name, facts, by_content=by_content)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {run.provenance['samples']:,} samples")


def digits(store: RunStore) -> None:
    facts = {
        "title": "scikit-learn's handwritten digits",
        "source": {"kind": "digits"},
        "how": "raw pixels, full Hessian, closed form",
        "licence": f"Digits: UCI (Alpaydin and Kaynak 1998), CC BY 4.0. {OWN}",
    }
    made("digits", store, facts, source={"kind": "digits"})


def cifar10(store: RunStore, features: Path) -> None:
    """From ``features (50000, 512)`` and ``labels (50000,)`` in the original order of the training images."""
    with np.load(features, allow_pickle=False) as stored, tempfile.TemporaryDirectory() as folder:
        ids = np.array([f"cifar10-{row // 10_000 + 1}-{row % 10_000:05d}" for row in range(len(stored["labels"]))])
        named = Path(folder) / "cifar10.npz"
        labels = np.array(CIFAR10)[stored["labels"]]
        np.savez(named, features=stored["features"], labels=labels, sample_ids=ids)
        facts = {
            "title": "CIFAR-10, training images (python version)",
            "source": {"kind": "cifar10"},
            "how": f"{BACKBONE}, at 128 px; full Hessian, closed form",
            "licence": f"CIFAR-10 (Krizhevsky 2009) states no licence; no image is here. {OWN}",
        }
        made("cifar10", store, facts, source={"kind": "feature_file", "path": str(named)})


def pneumonia(store: RunStore, folder: Path, weights: Path) -> None:
    facts = {
        "title": "pediatric pneumonia, training films at 224 px (chest_xray)",
        "source": {"kind": "pneumonia", "split": "train"},
        "how": f"{BACKBONE}, at 224 px; full Hessian, closed form",
        "licence": f"Films: Kermany et al. 2018, CC BY 4.0; no film is here. {OWN}",
    }
    source = {"kind": "pneumonia", "root": str(folder.resolve()), "split": "train"}
    extractor = {"kind": "torchvision", "backbone": "squeezenet1_1", "weights": str(weights.resolve())}
    made("pneumonia", store, facts, by_content=True, source=source, extractor=extractor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar10", type=Path, metavar="FILE.npz", help="features and labels of the training images")
    parser.add_argument("--pneumonia", type=Path, metavar="DIR", help="the published chest_xray folder")
    parser.add_argument("--weights", type=Path, help="SqueezeNet-1.1's feature layers, for the films")
    given = parser.parse_args()
    if given.pneumonia and not given.weights:
        parser.error("--pneumonia needs --weights")
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        digits(store)
        if given.cifar10:
            cifar10(store, given.cifar10)
        if given.pneumonia:
            pneumonia(RunStore(), given.pneumonia, given.weights)


if __name__ == "__main__":
    main()
