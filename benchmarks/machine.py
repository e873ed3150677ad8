"""What this machine does in plain matrix products: the floor that the benchmarks divide by."""

from __future__ import annotations

import statistics
import time

import psutil
import torch


def product_rate(dtype: torch.dtype, *, size: int = 3072, rounds: int = 5, library: str = "torch") -> float:
    """Median flop a second of a square product of ``dtype`` by torch or NumPy; the first round is not counted."""
    matrix = torch.randn(size, size, dtype=dtype)
    a = matrix if library == "torch" else matrix.numpy()
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[1:])


def describe() -> str:
    """One line: cores, memory, versions."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GiB, torch {torch.__version__}, {torch.get_num_threads()} threads"
