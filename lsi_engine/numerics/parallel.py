"""Work that falls into independent parts, one part a processor core at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Part], Result], parts: Iterable[Part], device: torch.device) -> Iterator[Result]:
    """``function`` of each part, in the parts' order; on a GPU one after another.

    On a processor each core has a part of its own and does all of it alone, what lies between the matrix products
    included. That is faster than to share every single operation, and torch's threads, which spin for a while after
    each operation, do not take the cores from NumPy's. ``OMP_NUM_THREADS`` says how many cores to use. Whoever takes
    the results may stop taking them: what is being worked on is finished, and nothing more is begun.
    """
    cores = cores_of(device)
    if cores == 1:
        yield from map(function, parts)
        return
    with _one_thread_each(), ThreadPoolExecutor(cores) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for part in parts:
                pending.append(pool.submit(function, part))
                # A few parts ahead, so that no core waits and little is begun in vain.
                if len(pending) > 2 * cores:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Within, neither NumPy's products nor torch's operations start threads of their own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def cores_of(device: torch.device) -> int:
    """Parts of ``in_parallel`` that are worked on at the same time."""
    if device.type != "cpu":
        return 1
    return max((library["num_threads"] for library in _blas().info()), default=1)
