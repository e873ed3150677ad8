"""Refusing what cannot fit, with the figures, instead of dying half-way."""

from __future__ import annotations

import psutil
import torch

from lsi_engine.errors import InputError


def free_memory(device: torch.device) -> float:
    """Bytes that are free on ``device``."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def training_bytes(
    rows: int, columns: int, classes: int, weights: int, models: int, method: str, hessian: str, size: float
) -> float:
    """Peak bytes of ``models`` trainings side by side, ``size`` bytes a number, on ``rows`` × ``columns`` features."""
    # Weights, velocity and gradient of each model; a trajectory keeps copies in the contrasts, and its path.
    needed = rows * columns * (8 + size) + 3.0 * models * weights * size
    if method == "trajectory":
        needed += 3.0 * models * weights * size + 3 * 8 * float(weights) ** 2 + 100.0 * rows * classes * size
    elif hessian == "full":
        needed += 4 * 8 * float(weights) ** 2
    return needed


def require_memory(needed: float, device: torch.device, what: str, remedy: str) -> None:
    """Raise ``InputError`` unless ``needed`` bytes are free on ``device``, naming ``what`` needs them."""
    available = free_memory(device)
    if needed > 0.9 * available:
        raise InputError(
            f"{what}: about {needed / 2**30:.1f} GiB are needed and {available / 2**30:.1f} GiB are free. {remedy}"
        )
