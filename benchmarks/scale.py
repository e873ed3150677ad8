"""Time and memory of the closed form against the number of samples, from a memory-mapped file.

``python -m benchmarks.scale [--sizes 1000 10000 100000 1000000] [--dimension 512] [--classes 10] [--hessian full]
[--folder DIR] [--write]``

Features are written as float32 to ``DIR`` (a temporary folder without it), each size is scored in a fresh process, and
its time is divided by that of its own floating-point operations as plain products, measured in the same process.
``--write`` keeps the figures in benchmarks/scale.json and draws assets/scale.svg from them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.machine import describe

ROOT = Path(__file__).resolve().parents[1]
#: One size in a process of its own, so that its peak memory is its own.
CHILD = """
import json, resource, sys, time
import numpy as np, torch
from benchmarks.closed_form import operations
from benchmarks.machine import product_rate
from lsi_engine import score
path, hessian = sys.argv[1:]
features = np.load(path, mmap_mode="r", allow_pickle=False)
labels = np.load(path.replace(".npy", ".labels.npy"), allow_pickle=False)
before = product_rate(torch.float32, rounds=3), product_rate(torch.float64, rounds=3)
started = time.perf_counter()
table = score(features, labels, hessian=hessian, feature_scaling="standardize", precision="float32")
seconds = time.perf_counter() - started
after = product_rate(torch.float32, rounds=3), product_rate(torch.float64, rounds=3)
single, double = ((a + b) / 2 for a, b in zip(before, after))
first, second = operations(*features.shape, len(table.classes), table.info)
print(json.dumps({
    "samples": len(features), "seconds": seconds, "stages": table.info["seconds"],
    "floor": first / single + second / double, "gradient_norm": table.info["gradient_norm"],
    "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--hessian", choices=("diag", "full"), default="full")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    print(describe())
    measured = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for size in arguments.sizes:
            path = write_features(Path(folder) / f"{size}.npy", size, arguments.dimension, arguments.classes)
            command = [sys.executable, "-c", CHILD, str(path), arguments.hessian]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            found = json.loads(done.stdout)
            measured.append(found)
            print(
                f"N {size:>9,}: {found['seconds']:7.1f} s, {found['seconds'] / found['floor']:.2f} × its floor, peak "
                f"{found['peak_gib']:.2f} GiB, {found['stages']}, |g| {found['gradient_norm']:.1e}",
                flush=True,
            )
            path.unlink()
    if arguments.write:
        facts = {"machine": describe(), "dimension": arguments.dimension, "classes": arguments.classes}
        facts |= {"hessian": arguments.hessian, "measured": measured}
        (ROOT / "benchmarks" / "scale.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        draw(facts, ROOT / "assets" / "scale.svg")


def write_features(path: Path, samples: int, dimension: int, classes: int) -> Path:
    """Overlapping classes with correlated columns and a tenth of the labels wrong, block by block."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, samples)
    mixing = random.normal(size=(dimension, dimension), scale=dimension**-0.5).astype(np.float32)
    centres = 0.3 * random.normal(size=(classes, dimension)).astype(np.float32)
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(samples, dimension))
    for start in range(0, samples, 16384):
        rows = slice(start, start + 16384)
        noise = random.standard_normal((len(labels[rows]), dimension), np.float32)
        features[rows] = centres[labels[rows]] + noise @ mixing
    features.flush()
    wrong = random.random(samples) < 0.1
    labels[wrong] = random.integers(0, classes, int(wrong.sum()))
    np.save(path.with_name(f"{path.stem}.labels.npy"), labels)
    return path


def draw(facts: dict, path: Path) -> None:
    """Two panels on logarithmic axes: seconds beside their floor, and peak memory."""
    measured = facts["measured"]
    sizes = [found["samples"] for found in measured]
    panels = [
        (
            "seconds",
            {"closed form": [m["seconds"] for m in measured], "its products alone": [m["floor"] for m in measured]},
        ),
        ("peak memory, GiB", {"closed form": [m["peak_gib"] for m in measured]}),
    ]
    width, height, left, top = 420, 260, 60, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height + 70}" font-family="sans-serif" '
        'font-size="13" fill="#333">'
    ]
    low, high = np.log10(sizes[0]), np.log10(sizes[-1])
    for panel, (title, lines) in enumerate(panels):
        values = np.log10([value for line in lines.values() for value in line])
        bottom, ceiling = np.floor(values.min()), np.ceil(values.max())
        offset = panel * width + left

        def place(size: float, value: float, offset: int = offset, ends: tuple = (bottom, ceiling)) -> tuple:
            x = offset + (np.log10(size) - low) / max(high - low, 1e-9) * (width - left - 40)
            return x, top + (ends[1] - np.log10(value)) / (ends[1] - ends[0]) * (height - top)

        parts.append(f'<text x="{offset}" y="20" font-weight="bold">{title}</text>')
        for power in range(int(bottom), int(ceiling) + 1):
            _, y = place(sizes[0], 10.0**power)
            parts.append(
                f'<line x1="{offset}" x2="{panel * width + width - 40}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            )
            parts.append(f'<text x="{offset - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
        for size in sizes:
            x, _ = place(size, 10.0**bottom)
            parts.append(f'<text x="{x:.1f}" y="{height + 18}" text-anchor="middle">{size:,}</text>')
        for (name, line), colour, dash in zip(lines.items(), ("#0072B2", "#E69F00"), ("", "5 4"), strict=False):
            points = " ".join("{:.1f},{:.1f}".format(*place(*pair)) for pair in zip(sizes, line, strict=True))
            stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
            parts.append(f'<polyline points="{points}" fill="none" {stroke}/>')
            x, y = place(sizes[-1], line[-1])
            where = f'x="{x - 6:.1f}" y="{y + (18 if dash else -8):.1f}" text-anchor="end" fill="{colour}"'
            parts.append(f"<text {where}>{name}</text>")
    shape = f"samples × {facts['dimension']} × {facts['classes']} classes"
    caption = f"{shape}, {facts['hessian']} posterior; {facts['machine']}"
    parts += [f'<text x="{left}" y="{height + 50}" fill="#777">{caption}</text>', "</svg>"]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
