"""Features as floats that the engine can read: taken for what they are, whatever holds them, or refused by row."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.numerics.design import needs_double
from lsi_engine.numerics.memory import require_memory

#: Rows looked at together: memory-mapped features are never read whole.
CHECKED_ROWS = 2048
#: Characters of a value that a message quotes.
QUOTED = 40


def check_features(features: Any) -> NDArray | torch.Tensor:
    """``(N, D)`` floats, finite; arrays of floats stay as they are (memory-mapped ones are not read into memory).

    Integers of 32 and 64 bits become float64, smaller ones float32, which holds them all exactly. Sparse matrices are
    made dense where they fit; long doubles become float64, and another byte order this machine's, both in memory.
    Raises ``InputError`` naming the first row that holds NaN, infinity, a masked value or no number, or the shape that
    is wrong.
    """
    features = _dense(features)
    if isinstance(features, pd.DataFrame):
        features = _frame_values(features)
    if isinstance(features, torch.Tensor):
        features = features.detach()
        if features.is_complex():
            raise InputError(f"features must be numbers, not {features.dtype}")
        if not features.dtype.is_floating_point:
            features = features.to(torch.float64 if needs_double(features.dtype) else torch.float32)
    else:
        features = _floats(features)
    if features.ndim != 2:
        raise InputError(f"features must be a table of shape (samples, dimensions), not {tuple(features.shape)}")
    if features.shape[0] < 2 or features.shape[1] < 1:
        raise InputError(f"features of shape {tuple(features.shape)}: at least 2 samples and 1 dimension are needed")
    for start in range(0, len(features), CHECKED_ROWS):
        block = features[start : start + CHECKED_ROWS]
        finite = (
            torch.isfinite(block).all(dim=1).cpu().numpy()
            if isinstance(block, torch.Tensor)
            else np.isfinite(block).all(axis=1)
        )
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise InputError(f"features row {row} holds NaN or infinity; drop or repair that sample")
    return features


def _dense(features: Any) -> Any:
    """Sparse features as dense ones, anything else as it is. Raises ``InputError`` where they do not fit."""
    of_torch = isinstance(features, torch.Tensor) and features.layout != torch.strided
    if not (of_torch or scipy.sparse.issparse(features)):
        return features
    shape = tuple(features.shape)
    require_memory(
        8.0 * float(np.prod(shape, dtype=np.float64)),
        features.device if of_torch else torch.device("cpu"),
        f"the probe reads dense features, and these are sparse, {' × '.join(f'{size:,}' for size in shape)}",
        "Reduce their dimension (for example by sklearn's TruncatedSVD) or choose fewer columns",
    )
    return features.to_dense() if of_torch else features.toarray()


def _frame_values(frame: pd.DataFrame) -> NDArray:
    """The values of a frame, missing ones as NaN. Raises ``InputError`` naming the first column without numbers."""
    for name, dtype in frame.dtypes.items():
        if dtype.kind not in "fiub":
            raise InputError(f"features must be numbers, and column {name!r} is {dtype}: encode or drop it")
    kinds = set(frame.dtypes)
    if len(kinds) == 1 and isinstance(next(iter(kinds)), np.dtype):
        return frame.to_numpy()
    # Columns of several types, and pandas' own types that know missing values, meet in double precision.
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _floats(features: Any) -> NDArray[np.floating]:
    """An array, or what NumPy makes one of, as floats that torch can read. Raises ``InputError``."""
    if isinstance(features, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(features)
        if masked.any():
            row = int(np.argwhere(masked)[0][0])
            raise InputError(f"features row {row} holds a masked value; drop or repair that sample")
        features = features.data
    if not isinstance(features, np.ndarray):
        try:
            features = np.asarray(features)
        except ValueError as error:
            raise InputError(f"features are no table of numbers, or their rows differ in length: {error}") from error
    if features.dtype.kind == "O":
        features = _object_floats(features)
    if features.dtype.kind in "iub":
        return features.astype(np.float64 if needs_double(features.dtype) else np.float32)
    if features.dtype.kind != "f":
        raise InputError(f"features must be numbers, not {features.dtype}")
    if features.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # what float64 cannot hold becomes an infinity, which is refused by its row
            return features.astype(np.float64)
    return features if features.dtype.isnative else features.astype(features.dtype.newbyteorder("="))


def _object_floats(values: NDArray[Any]) -> NDArray[np.float64]:
    for place, value in np.ndenumerate(values):
        if not isinstance(value, numbers.Real | np.bool_) and value is not None and value is not pd.NA:
            raise InputError(f"features must be numbers, and row {place[0]} holds {repr(value)[:QUOTED]}")
    floats = [np.nan if value is None or value is pd.NA else float(value) for value in values.flat]
    return np.array(floats).reshape(values.shape)
