"""Refusing what cannot fit, with the figures, instead of dying half-way."""

from __future__ import annotations

import psutil
import torch

from lsi_engine.errors import InputError


def require_memory(needed: float, device: torch.device, what: str, remedy: str) -> None:
    """Raise ``InputError`` unless ``needed`` bytes are free on ``device``, naming ``what`` needs them."""
    on_gpu = device.type == "cuda"
    available = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    if needed > 0.9 * available:
        raise InputError(
            f"{what}: about {needed / 2**30:.1f} GiB are needed and {available / 2**30:.1f} GiB are free. {remedy}"
        )
