"""Which rows are meant, which belong together, and what the caller calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError


def check_groups(groups: Any, samples: int, what: str = "samples") -> tuple[NDArray[np.int64], list[Any]]:
    """Group indices ``(N,)`` int64 and the groups they index, in order of first occurrence.

    Any hashable values, compared as Python does: 1 and '1' are two groups, and a tuple is one. Raises ``InputError``
    for a wrong length, a missing group, or a value that cannot be compared.
    """
    if isinstance(groups, torch.Tensor):
        groups = groups.detach().cpu().tolist()
    if getattr(groups, "ndim", 1) != 1:
        raise InputError(f"groups of shape {tuple(groups.shape)}: one group for each of the {samples} {what} is needed")
    given = groups.tolist() if isinstance(groups, np.ma.MaskedArray) else list(groups)
    if len(given) != samples:
        raise InputError(f"{samples} {what} but {len(given)} groups; they must match one to one")
    values = np.fromiter(given, dtype=object, count=len(given))
    missing = np.flatnonzero(pd.isna(values))
    if len(missing):
        raise InputError(f"the group of row {int(missing[0])} is missing")
    try:
        codes, names = pd.factorize(values)
    except TypeError as error:
        raise InputError(f"groups must be hashable values, such as names, numbers or tuples: {error}") from error
    return codes.astype(np.int64), list(names)


def check_samples(samples: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """Rows to leave out, as int64; all when ``None``, and those where a mask of booleans ``(N,)`` holds.

    Raises ``InputError`` naming the one that is no row, or the mask's wrong length.
    """
    if samples is None:
        return np.arange(count, dtype=np.int64)
    given = np.asarray(samples.detach().cpu() if isinstance(samples, torch.Tensor) else samples)
    if given.dtype.kind == "b" and given.ndim == 1:
        if len(given) != count:
            raise InputError(f"samples is a mask of {len(given)} rows, the data have {count}")
        given = np.flatnonzero(given)
    if given.ndim != 1 or len(given) == 0 or given.dtype.kind not in "iu":
        raise InputError("samples must be a list of row numbers, or a mask of all rows, with at least one row")
    outside = given[(given < 0) | (given >= count)]
    if len(outside):
        raise InputError(f"samples names row {outside[0]}, but the rows are 0 to {count - 1}")
    values, times = np.unique(given, return_counts=True)
    if times.max() > 1:
        raise InputError(f"samples names row {values[times.argmax()]} twice")
    return given.astype(np.int64)


def row_names(features: Any, labels: Any) -> pd.Index | None:
    """The pandas index that features or labels bring, ``None`` where there is none but 0 to N − 1.

    Raises ``InputError`` where the two disagree: rows would be paired with others' labels.
    """
    indices = [given.index for given in (features, labels) if isinstance(given, pd.DataFrame | pd.Series)]
    own = [index for index in indices if not index.equals(pd.RangeIndex(len(index)))]
    differ = len(indices) == 2 and len(indices[0]) == len(indices[1]) and not indices[0].equals(indices[1])
    # One of them numbered afresh is in the other's order, most likely; the same names in another order are not.
    if differ and (len(own) == 2 or set(indices[0]) == set(indices[1])):
        row = next(row for row, (a, b) in enumerate(zip(*indices, strict=True)) if a != b)
        raise InputError(
            f"features and labels have different indices: row {row} is {indices[0][row]!r} in one and "
            f"{indices[1][row]!r} in the other; align them, or pass labels.to_numpy() to pair them by position"
        )
    return own[0] if own else None
