"""How close extraction comes to the bare model: decoding, hashing and storing should hide behind the forward pass.

    python benchmarks/extraction.py FOLDER --weights FILE [--backbone squeezenet1_1] [--images 512] [--rounds 5]

Both rates are measured in turns, so that other load on the machine meets both alike. The ratio is the median over
the rounds; 1.0 would mean that everything but the forward pass costs nothing. The ratio of processor time is what a
CPU-only machine can reach at best, and hardly depends on other load.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from lsi_engine.features.extract import extract
from lsi_engine.features.torchvision_backbone import TorchvisionBackbone
from lsi_engine.samples import image_folder, open_media


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()

    started = time.perf_counter()
    everything = image_folder(asked.folder)
    print(f"scan: {len(everything)} images in {time.perf_counter() - started:.1f} s")
    chosen = np.zeros(len(everything), dtype=bool)
    chosen[np.linspace(0, len(everything) - 1, asked.images).astype(int)] = True
    samples = everything.keep(chosen, everything.skipped)

    extractor = TorchvisionBackbone(asked.backbone, weights=asked.weights)
    media = samples.table["media"].head(asked.batch_size)
    batch = np.stack([extractor.prepare(open_media(samples.source, reference)) for reference in media])
    batches = max(1, asked.images // len(batch))
    extractor.forward(batch)

    wall_ratios, cpu_ratios = [], []
    for number in range(1, asked.rounds + 1):
        started, busy = time.perf_counter(), time.process_time()
        for _ in range(batches):
            extractor.forward(batch)
        images = batches * len(batch)
        plain, plain_busy = images / (time.perf_counter() - started), (time.process_time() - busy) / images
        with tempfile.TemporaryDirectory() as cache:
            started, busy = time.perf_counter(), time.process_time()
            extract(samples, extractor, cache, batch_size=asked.batch_size)
            images = samples.table["content"].nunique()
            whole, whole_busy = images / (time.perf_counter() - started), (time.process_time() - busy) / images
        wall_ratios.append(whole / plain)
        cpu_ratios.append(plain_busy / whole_busy)
        print(
            f"round {number}: forward {plain:.1f} images/s ({plain_busy * 1000:.1f} ms of CPU an image), "
            f"extraction {whole:.1f} images/s ({whole_busy * 1000:.1f} ms), "
            f"ratio {wall_ratios[-1]:.2f} (CPU {cpu_ratios[-1]:.2f})"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"median ratio {statistics.median(wall_ratios):.2f} "
        f"(CPU {statistics.median(cpu_ratios):.2f}), peak memory {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
