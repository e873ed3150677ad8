"""The matrix and the columns beside it in a feature file of any of the three formats."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.samples.tables.columns import OPTIONAL
from lsi_engine.samples.tables.rows import is_index

#: Columns of text that a file may hold beside ``features`` and ``labels``, by their names in the sample table;
#: ``image_path`` names each row's picture.
BESIDE = OPTIONAL | {"image_path": "image_paths"}


def read_features(file: Path) -> tuple[NDArray[np.floating], dict[str, Sequence[Any]]]:
    """``features (N, D)``, and by their names in the sample table the columns ``(N,)`` that ``file`` has beside them.

    Features are float64 where they are that or integers of 32 bits and more, else float32; those of an ``.npy`` file
    memory-mapped as they are. Raises ``InputError`` naming the file and what is wrong with it: its ending, its content,
    or lengths that differ.
    """
    readers = {".npz": _npz, ".npy": _npy, ".parquet": _parquet}
    if file.suffix.lower() not in readers:
        raise InputError(f"{file} is neither .npz, .npy nor .parquet; save the features as one of them")
    matrix, columns = readers[file.suffix.lower()](file)
    features = _as_floats(matrix, file)
    for name, values in columns.items():
        if len(values) != len(features):
            raise InputError(f"{file}: {len(features)} rows of features but {len(values)} of {name}; they must match")
    return features, columns


def _as_floats(features: NDArray[Any], file: Path) -> NDArray[np.floating]:
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(f"{file}: features must be a matrix (samples, features), not of shape {features.shape}")
    if not len(features):
        raise InputError(f"{file} holds no samples")
    if features.dtype.kind not in "fiub":
        raise InputError(f"{file}: features must be real numbers, not {features.dtype}")
    if isinstance(features, np.memmap) and features.dtype.kind == "f" and features.dtype.itemsize <= 8:
        return features  # converting would read it whole; the engine converts block by block
    # Of what single precision rounds, differences between rows would go before anything is centred.
    wide = features.dtype.itemsize >= (8 if features.dtype.kind == "f" else 4)
    with np.errstate(over="ignore"):  # an infinity is reported with its row
        return features.astype(np.float64 if wide else np.float32, copy=False)


def _npy(file: Path) -> tuple[NDArray[Any], dict[str, Sequence[Any]]]:
    def load(path: Path, mode: Literal["r"] | None) -> NDArray[Any]:
        try:
            return np.load(path, mmap_mode=mode, allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{path} cannot be read as .npy: {error}") from error

    names = {"label": "labels", **BESIDE}
    beside = {name: file.with_name(f"{file.stem}.{key}.npy") for name, key in names.items()}
    if not beside["label"].is_file():
        raise InputError(f"{file} has no labels: there is no {beside['label'].name} beside it")
    columns = {name: load(path, None) for name, path in beside.items() if path.is_file()}
    for name, values in columns.items():
        if values.ndim != 1:
            raise InputError(f"{beside[name]}: one value a sample is needed, not the shape {values.shape}")
    return load(file, "r"), {name: list(values) for name, values in columns.items()}


def _npz(file: Path) -> tuple[NDArray[Any], dict[str, Sequence[Any]]]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            for required in ("features", "labels"):
                if required not in archive:
                    raise InputError(f"{file} holds no {required!r}, only {', '.join(archive.files) or 'nothing'}")
            columns = {"label": archive["labels"]}
            columns |= {name: archive[key] for name, key in BESIDE.items() if key in archive}
            features = archive["features"]
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        advice = "; save arrays of text with dtype=str" if "allow_pickle" in str(error) else ""
        raise InputError(f"{file} cannot be read as .npz: {error}{advice}") from error
    for name, values in columns.items():
        if values.ndim != 1:
            raise InputError(f"{file}: {name} must have one value a sample, not the shape {values.shape}")
    return features, dict(columns)


def _parquet(file: Path) -> tuple[NDArray[Any], dict[str, Sequence[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read as Parquet: {error}") from error
    if "label" not in table.column_names:
        raise InputError(f"{file} has no column 'label', only {', '.join(table.column_names[:10])}")
    # Python's own values: a column of whole numbers with a gap stays whole numbers.
    columns: dict[str, Sequence[Any]] = {
        name: table[name].to_pylist() for name in ("label", *BESIDE) if name in table.column_names
    }
    rest = [field for field in table.schema if field.name not in columns and not is_index(field.name)]
    lists = [field for field in rest if "list<" in str(field.type)]
    if len(lists) == 1:
        return _stacked(table[lists[0].name], file, lists[0].name), columns
    for field in rest:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if not numeric:
            raise InputError(
                f"{file}: column {field.name!r} is {field.type}; features are one column of lists or columns of numbers"
            )
    if not rest:
        raise InputError(f"{file} has no feature columns beside {', '.join(columns)}")
    # A missing number is a NaN here, and so reported with its row.
    return np.stack([table[field.name].to_numpy() for field in rest], axis=1), columns


def _stacked(column: Any, file: Path, name: str) -> NDArray[Any]:
    """A column of lists as a matrix; raises ``InputError`` for the first row of another length."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    if not len(lengths):
        raise InputError(f"{file} holds no samples")
    if (lengths != lengths[0]).any():
        row = int(np.flatnonzero(lengths != lengths[0])[0])
        raise InputError(f"{file}: row {row} of {name!r} has {lengths[row]} values, row 0 has {lengths[0]}")
    values = pc.list_flatten(column).to_numpy()
    return values.reshape(len(lengths), -1) if len(values) else np.empty((len(lengths), 0))
