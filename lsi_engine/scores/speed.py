"""How fast this machine is at what the methods do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Speed:
    """Of one device: flop a second of products in each precision, and elements a second."""

    single: float
    double: float
    elements: float


@cache
def measured_speed(device: str = "cpu") -> Speed:
    """The rates of ``device``: the fastest of many rounds of milliseconds, which other work disturbs little."""
    place = torch.device(device)
    rounds = {}
    for dtype in (torch.float32, torch.float64):
        size = 4096 if place.type == "cuda" else 512
        a = torch.randn(size, size, device=place, dtype=dtype)
        rounds[dtype] = 2 * size**3 / _fastest(lambda a=a: a @ a, place)  # type: ignore[misc]
    elements = torch.randn(1 << 18, device=place) / 100

    def pass_over() -> object:
        e = torch.expm1(elements)
        s = (e * elements).view(-1, 1024).sum(dim=1)
        e.sub_(0.5).mul_(elements).div_(1.5)
        return s, (e > -0.9) & (e < 1e20)

    return Speed(rounds[torch.float32], rounds[torch.float64], elements.numel() / _fastest(pass_over, place))


def _fastest(work: Callable[[], object], place: torch.device, rounds: int = 32) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
