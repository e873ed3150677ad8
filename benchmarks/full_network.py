"""LSI over all weights of a small convolutional network against what stands in for it (paper, appendix C).

``python -m benchmarks.full_network --root DIR [--samples 300 --left-out 40 --epochs 500 --seeds 2 --features NPZ]``

``DIR`` is CIFAR-10's python version. A network of three convolutions and a linear head is retrained without each of
the left-out samples, for several seeds: from the initial weights as in the paper, or, with ``--further EPOCHS``, from
the weights of the fully trained network and for so many epochs more. Printed are Spearman's rank correlations of its
LSI over all weights

- between two seeds: what any stand-in could reach at most,
- with the LSI of its last layer's weights, from the same retrainings,
- with the closed form of its last layer: as it was trained, and fitted afresh on its penultimate features,
- with the closed form of a linear probe on the same pixels, and on frozen ``features`` if given,
- with the sample's own loss in the network trained without it.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from benchmarks.machine import describe
from lsi_engine import LsiWarning, last_layer, retrain_network, score, score_model
from lsi_engine.samples.images.cifar import cifar10
from lsi_engine.samples.images.cifar_files import read_record
from lsi_engine.training.descent import SgdSettings

HEAD = ("7.weight", "7.bias")


def three_layer_network(seed: int) -> nn.Sequential:
    """16 × 16 colour images to 10 logits; 7 322 weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, 10),
        )


def images(root: Path, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images, averaged to 16 × 16, each colour with mean 0 and deviation 1, and their class indices."""
    data = cifar10(root)
    table = data.table[:samples]
    records = [np.frombuffer(read_record(data.source, media), np.uint8) for media in table["media"]]
    pixels = torch.as_tensor(np.stack(records).astype(np.float32)).view(-1, 3, 32, 32)
    pixels = nn.functional.avg_pool2d(pixels, 2)
    pixels = (pixels - pixels.mean(dim=(0, 2, 3), keepdim=True)) / pixels.std(dim=(0, 2, 3), keepdim=True)
    return pixels, torch.as_tensor(np.unique(table["label"], return_inverse=True)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--left-out", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--further", type=int, help="leave out only after training, for so many more epochs")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.04)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--features", type=Path, help="npz with 'features' of the same images, for a probe on them")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    print(describe())
    pixels, labels = (values.to(asked.device) for values in images(asked.root, asked.samples))
    rows = np.random.default_rng(0).choice(asked.samples, asked.left_out, replace=False)
    settings = SgdSettings(asked.learning_rate, epochs=asked.epochs, weight_decay=asked.weight_decay)
    probes = {"linear probe, same pixels": pixels.flatten(1)}
    if asked.features:
        with np.load(asked.features, allow_pickle=False) as stored:
            probes["linear probe, frozen features"] = torch.as_tensor(stored["features"][: asked.samples]).float()
    shared = {name: _closed_form(features, labels, asked.weight_decay)[rows] for name, features in probes.items()}
    network, table = [], []
    for seed in range(5, 5 + asked.seeds):
        started = time.perf_counter()
        start = three_layer_network(seed).to(asked.device)
        if asked.further:
            start.load_state_dict(retrain_network(start, pixels, labels, settings, samples=rows[:1]).weights)
        leaving_out = replace(settings, epochs=asked.further or asked.epochs)
        scores, columns = _one_seed(start, pixels, labels, leaving_out, rows)
        network.append(scores)
        table.append({**columns, **shared})
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s")
    pairs = [_rank(a, b) for a, b in itertools.combinations(network, 2)]
    _row("itself, another seed", pairs)
    for name in table[0]:
        _row(name, [_rank(scores, columns[name]) for scores, columns in zip(network, table, strict=True)])
    print("mean over seeds:")
    mean = np.mean(network, axis=0)
    for name in table[0]:
        _row(name, [_rank(mean, np.mean([columns[name] for columns in table], axis=0))])


def _one_seed(
    network: nn.Sequential, pixels: torch.Tensor, labels: torch.Tensor, settings: SgdSettings, rows: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    found = retrain_network(network, pixels, labels, settings, samples=rows, posteriors={"last layer": HEAD})
    network.load_state_dict(found.weights)
    decay = settings.weight_decay
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LsiWarning)
        as_trained = score_model(network, [(pixels, labels)], weight_decay=decay)
    features = last_layer(network, [(pixels, labels)]).features
    accuracy = float((network(pixels).argmax(dim=1) == labels).double().mean())
    facts = as_trained.info
    print(
        f"network: training accuracy {accuracy:.3f}, loss {found.loss:.4f}, |g| {found.gradient_norm:.1e}; its head is "
        f"{facts['distance_to_optimum'] / facts['distance_of_a_sample']:.2g} × a sample's move from its optimum"
    )
    return found.lsi(), {
        "its last layer's weights, retrained": found.lsi("last layer"),
        "its last layer, closed form as trained": as_trained.lsi[rows],
        "its last layer, closed form refitted": _closed_form(features, labels, decay)[rows],
        "own loss when left out": found.loo_loss,
    }


def _closed_form(features: torch.Tensor, labels: torch.Tensor, weight_decay: float) -> np.ndarray:
    return score(features.double(), labels, weight_decay=weight_decay).lsi


def _rank(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def _row(name: str, values: list[float]) -> None:
    print(f"  {name:42}" + "  ".join(f"{value:6.3f}" for value in values))


if __name__ == "__main__":
    main()
