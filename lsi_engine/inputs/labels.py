"""Class labels and targets: no two labels become one on the way in, and none is lost."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from numpy.typing import NDArray

from lsi_engine.errors import InputError

#: Whole numbers from here on are not all floats: 2⁵³ and 2⁵³ + 1 are one.
FLOAT_WHOLE = 2.0**53


def encode_labels(labels: Any, samples: int) -> tuple[NDArray[np.int64], list[Any]]:
    """Class indices ``(N,)`` int64 and the sorted class labels they index.

    Strings, integers (gaps allowed), booleans and integral floats are accepted; a plain Python type comes back for
    each class.

    Raises ``InputError`` for a wrong length, missing labels, fractional labels (a regression target?), numbers too
    large to be told apart, text and numbers mixed (are 1 and '1' one class?), or fewer than two classes.
    """
    if isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu()
        # NumPy has no bfloat16.
        labels = (labels.double() if labels.dtype.is_floating_point else labels).numpy()
    if getattr(labels, "ndim", 1) != 1:
        raise InputError(f"labels of shape {tuple(labels.shape)}: one label a sample is needed")
    if isinstance(labels, np.ma.MaskedArray):
        labels = labels.tolist()  # masked ones are None
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "S":
        labels = labels.astype(object)
    if isinstance(labels, np.ndarray) and not labels.dtype.isnative:
        labels = labels.astype(labels.dtype.newbyteorder("="))
    series = pd.Series(
        labels if isinstance(labels, pd.Series | np.ndarray | pd.Categorical) else list(labels)
    ).reset_index(drop=True)
    if len(series) != samples:
        raise InputError(f"{samples} feature rows but {len(series)} labels; they must match one to one")
    missing = series.isna()
    if missing.any():
        raise InputError(f"label of row {int(np.flatnonzero(missing)[0])} is missing")
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if isinstance(series.dtype, pd.IntervalDtype | pd.PeriodDtype) or series.dtype.kind in "mM":
        series = series.astype("str")
    values = series.to_numpy()
    if values.dtype.kind == "O":
        values = _of_one_kind(values)
    if values.dtype.kind == "f":
        values = _whole(values)
    if values.dtype.kind == "u" and values.dtype.itemsize == 8:
        large = np.flatnonzero(values > np.iinfo(np.int64).max)
        if len(large):
            raise _too_large(int(large[0]), values[large[0]])
    if values.dtype.kind not in "iubU":
        raise InputError(f"labels are {values.dtype}: class labels must be names or whole numbers")
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"all {samples} labels are {classes[0].item()!r}: at least two classes are needed to train a probe"
        )
    return codes.astype(np.int64), [value.item() for value in classes]


def _too_large(row: int, value: object) -> InputError:
    return InputError(f"label of row {row} is {value}, too large a number to be told from its neighbours; give names")


def _whole(values: NDArray[np.floating]) -> NDArray[np.int64]:
    fractional = ~np.isfinite(values) | (values != np.floor(values))
    if fractional.any():
        row = int(np.flatnonzero(fractional)[0])
        raise InputError(f"label of row {row} is {values[row]}: class labels must be names or whole numbers")
    large = np.flatnonzero(np.abs(values) >= FLOAT_WHOLE)
    if len(large):
        raise _too_large(int(large[0]), values[large[0]])
    return values.astype(np.int64)


def _of_one_kind(values: NDArray[Any]) -> NDArray[Any]:
    """Objects as an array of what all of them are: text, booleans or numbers. Raises ``InputError`` naming two rows."""
    first: dict[str, int] = {}
    for row, value in enumerate(values):
        if isinstance(value, str | bytes):
            kind = "text"
        elif isinstance(value, bool | np.bool_):
            kind = "truth values"
        elif isinstance(value, numbers.Real):
            kind = "numbers"
        else:
            raise InputError(
                f"label of row {row} is of type {type(value).__name__}: class labels must be names or whole numbers"
            )
        first.setdefault(kind, row)
    if len(first) > 1:
        (one, a), (other, b) = list(first.items())[:2]
        raise InputError(
            f"labels mix {one} and {other}: row {a} is {values[a]!r}, row {b} is {values[b]!r}; make them all one"
        )
    if "text" in first:
        return np.array([v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else v for v in values], str)
    if "truth values" in first:
        return values.astype(bool)
    whole = [int(value) if isinstance(value, numbers.Integral) else float(value) for value in values]
    for row, value in enumerate(whole):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise _too_large(row, value)
        if isinstance(value, float):
            whole[row] = int(_whole(np.array([value]))[0]) if value.is_integer() else value
    if all(isinstance(value, int) for value in whole):
        return np.array(whole, dtype=np.int64)
    return np.array(whole, dtype=np.float64)


def numeric_targets(targets: Any, samples: int) -> NDArray[np.float64]:
    """Targets as numbers ``(N, O)`` float64, finite; a column vector for ``(N,)``.

    Raises ``InputError`` naming the first row that cannot be used, or the shape that is wrong.
    """
    if isinstance(targets, torch.Tensor):
        targets = targets.detach().cpu().double().numpy()
    elif isinstance(targets, pd.DataFrame | pd.Series):
        targets = targets.to_numpy(dtype=np.float64, na_value=np.nan)
    elif isinstance(targets, np.ma.MaskedArray):
        targets = np.ma.filled(targets.astype(np.float64), np.nan)
    elif scipy.sparse.issparse(targets):
        targets = targets.toarray()
    try:
        values = np.asarray(targets).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"targets must be a table of numbers: {error}") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"targets of shape {values.shape}: one row of numbers a sample is needed")
    if len(values) != samples:
        raise InputError(f"{samples} feature rows but {len(values)} targets; they must match one to one")
    if not np.isfinite(values).all():
        raise InputError(f"target of row {int(np.nonzero(~np.isfinite(values))[0][0])} is missing or infinite")
    return values


def class_counts(codes: NDArray[np.int64], classes: list[Any]) -> dict[str, int]:
    return {
        str(name): int(count) for name, count in zip(classes, np.bincount(codes, minlength=len(classes)), strict=True)
    }
