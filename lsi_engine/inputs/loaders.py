"""Whether a loader gives its samples in the same order every time: a row of scores belongs to one sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lsi_engine.errors import InputError

#: Samples a batch where a data set is given instead of a loader.
DATASET_BATCH = 64
#: Further passes of an unknown sampler: a few rows in random order are in the same one by chance, but not so often.
PASSES = 8
SHUFFLES = "the loader shuffles, so rows could not be told apart: build it with shuffle=False"


def in_fixed_order(loader: Iterable[Any] | Dataset[Any]) -> Iterable[Any]:
    """The loader, or one of a data set. Raises ``InputError`` for samplers that draw another order every time."""
    if isinstance(loader, Dataset):
        return DataLoader(loader, batch_size=DATASET_BATCH)
    if not isinstance(loader, Iterable):
        raise InputError(f"the loader is a {type(loader).__name__}: give a DataLoader, a Dataset or a list of batches")
    order = getattr(loader, "batch_sampler", None) or getattr(loader, "sampler", None)
    if type(order) is BatchSampler:
        order = order.sampler
    if isinstance(order, RandomSampler | SubsetRandomSampler | WeightedRandomSampler):
        raise InputError(SHUFFLES)
    if isinstance(order, Sampler | list | tuple) and not isinstance(order, SequentialSampler) and _finite(order):
        state = torch.get_rng_state()
        try:
            first = _drawn(order)
            if any(_drawn(order) != first for _ in range(PASSES)):
                raise InputError(SHUFFLES)
        finally:
            torch.set_rng_state(state)
    return loader


def first_again(loader: Iterable[Any]) -> Iterator[Any]:
    """The first batch of another pass; none of an iterator, which has one pass only."""
    if not isinstance(loader, Iterator):
        yield from islice(iter(loader), 1)


def _finite(order: Any) -> bool:
    """Samplers of iterable data sets go on for ever, and say no length."""
    try:
        return len(order) >= 0
    except (TypeError, NotImplementedError):
        return False


def _drawn(order: Iterable[Any]) -> list[Any]:
    return [drawn.tolist() if isinstance(drawn, torch.Tensor) else drawn for drawn in order]
