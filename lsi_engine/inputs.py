"""Checking what a caller hands to ``score`` before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.numerics.design import needs_double

#: Rows looked at together: memory-mapped features are never read whole.
CHECKED_ROWS = 2048


def check_features(features: Any) -> NDArray | torch.Tensor:
    """``(N, D)`` floats, finite; arrays of floats stay as they are (memory-mapped ones are not read into memory).

    Integers of 32 and 64 bits become float64, smaller ones float32, which holds them all exactly.
    Raises ``InputError`` naming the first row that holds NaN or infinity, or the shape that is wrong.
    """
    if isinstance(features, pd.DataFrame):
        features = features.to_numpy()
    if not isinstance(features, torch.Tensor):
        features = features if isinstance(features, np.ndarray) else np.asarray(features)
        if features.dtype.kind in "iub":
            features = features.astype(np.float64 if needs_double(features.dtype) else np.float32)
        if features.dtype.kind != "f":
            raise InputError(f"features must be numbers, not {features.dtype}")
    elif not features.dtype.is_floating_point:
        features = features.to(torch.float64 if needs_double(features.dtype) else torch.float32)
    if isinstance(features, torch.Tensor):
        features = features.detach()
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


def encode_labels(labels: Any, samples: int) -> tuple[NDArray[np.int64], list[Any]]:
    """Class indices ``(N,)`` int64 and the sorted class labels they index.

    Strings, integers (gaps allowed), booleans and integral floats are accepted; a plain Python type comes back for
    each class.

    Raises ``InputError`` for a wrong length, missing labels, fractional labels (a regression target?), or fewer than
    two classes.
    """
    if isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu().numpy()
    if getattr(labels, "ndim", 1) != 1:
        raise InputError(f"labels of shape {tuple(labels.shape)}: one label a sample is needed")
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
    values = series.to_numpy()
    if values.dtype.kind == "f":
        fractional = ~np.isfinite(values) | (values != np.floor(values))
        if fractional.any():
            row = int(np.flatnonzero(fractional)[0])
            raise InputError(f"label of row {row} is {values[row]}: class labels must be names or whole numbers")
        values = values.astype(np.int64)
    if values.dtype.kind not in "iub":
        values = series.astype("str").to_numpy(dtype=object).astype(str)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"all {samples} labels are {classes[0].item()!r}: at least two classes are needed to train a probe"
        )
    return codes.astype(np.int64), [value.item() for value in classes]


def numeric_targets(targets: Any, samples: int) -> NDArray[np.float64]:
    """Targets as numbers ``(N, O)`` float64, finite; a column vector for ``(N,)``.

    Raises ``InputError`` naming the first row that cannot be used, or the shape that is wrong.
    """
    if isinstance(targets, torch.Tensor):
        targets = targets.detach().cpu().numpy()
    elif isinstance(targets, pd.DataFrame | pd.Series):
        targets = targets.to_numpy()
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
