"""Features that someone computed already: an ``.npz``, ``.npy`` or ``.parquet`` file."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.folder import resolved
from lsi_engine.samples.sample_set import Modality, SampleSet, opaque_id, skipped_table
from lsi_engine.samples.tables.label_table import class_name
from lsi_engine.samples.tables.row_pictures import row_pictures

PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Columns of text that a file may hold beside ``features`` and ``labels``, by their names in the sample table.
OPTIONAL = {"sample_id": "sample_ids", "group": "groups", "true_label": "true_labels", "split": "splits"}
#: What names each row's picture.
PICTURES = {"image_path": "image_paths"}
BESIDE = OPTIONAL | PICTURES
#: Rows whose values are checked at once; bounds the memory of the check.
CHECKED_ROWS = 8192


def feature_file(
    path: str | Path,
    *,
    images: str | Path | None = None,
    class_names: Sequence[str] = (),
    progress: Progress = silent,
) -> SampleSet:
    """Samples that are a row of features and a label, and, where their pictures are at hand, a picture to look at.

    ``.npz``: ``features (N, D)`` and ``labels (N,)``, optionally ``sample_ids``, ``groups``, ``true_labels``,
    ``splits`` and ``image_paths``, each ``(N,)``. ``.parquet``: a column ``label``, optionally ``sample_id``,
    ``group``, ``true_label``, ``split`` and ``image_path``; the features are one column of equally long lists, or all
    other columns, which must then be numbers. ``.npy``: ``features (N, D)`` alone, memory-mapped and never read whole,
    with ``X.labels.npy`` beside ``X.npy`` for the labels ``(N,)`` and, optionally, ``X.groups.npy`` and so on: for
    more features than memory.

    Features are kept as float32, or float64 where they are (float16 and integers become float32). Labels may be
    text or whole numbers with gaps; 3.0 is the class "3", and 3.5 is an error. With ``class_names (C,)`` labels are
    numbers below C, and class k is called by the k-th name. A sample's id is the given one where
    that is plain (letters, digits, ``-``, ``_``; 64 at most), else a digest of it; row 42 of a file without ids is
    ``row-000042``. Rows with NaN or infinite features or without a label are skipped and listed.

    Pictures are shown and never scored. ``image_path`` (``image_paths`` in ``.npz``, ``X.image_paths.npy``) names each
    row's, relative to the folder ``images`` or else to the file's own; without it, row i has the i-th picture of
    ``images`` (:func:`.row_pictures.row_pictures`). Then the modality is "image", ``media`` refers to the picture and
    ``image_content`` is the hash of its bytes, both "" for a row without one. A picture that is missing or leads out
    of the folder is listed, and its row scored all the same. ``images=""`` looks for none.

    Raises ``InputError`` naming the file and the row, column or lengths for anything that cannot be used, and for
    ``images`` without a single picture of a row.
    """
    file = resolved(path)
    if not file.is_file():
        raise InputError(f"there is no feature file {file}")
    readers = {".npz": _read_npz, ".npy": _read_npy, ".parquet": _read_parquet}
    if file.suffix.lower() not in readers:
        raise InputError(f"{file} is neither .npz, .npy nor .parquet; save the features as one of them")
    features, columns = readers[file.suffix.lower()](file)
    features = _as_floats(features, file)
    for name, values in columns.items():
        if len(values) != len(features):
            raise InputError(f"{file}: {len(features)} rows of features but {len(values)} of {name}; they must match")

    text = {
        name: [class_name(value, f"{file}, row {row}, {name}") for row, value in enumerate(values)]
        for name, values in columns.items()
    }
    for name in ("label", "true_label"):
        if class_names and name in text:
            text[name] = _named(text[name], class_names, f"{file}, {name}")
    given = text.pop("sample_id", [""] * len(features))
    places = [f"row {row}" for row in range(len(features))]
    identity = {
        "sample_id": [plain_id(each, row) for row, each in enumerate(given)],
        "name": [each or place for each, place in zip(given, places, strict=True)],
    }
    paths = text.pop("image_path", None)
    source: dict[str, Any] = {"kind": "feature_file", "path": str(file)}
    skipped: list[tuple[str, str]] = []
    if images or (images is None and paths is not None):
        folder = resolved(images) if images else file.parent
        pictures = row_pictures(folder, len(features), paths, progress=progress)
        if pictures is not None:
            identity |= {"media": pictures.media, "image_content": pictures.content}
            skipped = pictures.skipped
        elif images:
            raise InputError(f"{folder} has none of the pictures of {file.name}{_first_of(paths)}")
        else:
            skipped = [("pictures", f"none lies below {folder}{_first_of(paths)}: --images says where they are")]
    if class_names:
        source["class_names"] = list(class_names)
    if images is not None:
        source["images"] = str(resolved(images)) if images else ""
    return feature_samples(file.name, source, features, identity | text, places, _not_finite(features), skipped=skipped)


def _named(labels: Sequence[str], names: Sequence[str], place: str) -> list[str]:
    by_number = {str(number): name for number, name in enumerate(names)} | {"": ""}
    for row, label in enumerate(labels):
        if label not in by_number:
            raise InputError(
                f"{place}: row {row} is {label!r}, and the {len(names)} class names are of 0 to {len(names) - 1}"
            )
    return [by_number[label] for label in labels]


def _first_of(paths: Sequence[str] | None) -> str:
    named = next((path for path in paths or () if path), None)
    return "" if named is None else f", such as {named}"


def feature_samples(
    name: str,
    source: dict[str, Any],
    features: NDArray[np.floating],
    columns: dict[str, list[str]],
    places: Sequence[str],
    reasons: dict[int, str],
    *,
    skipped: Sequence[tuple[str, str]] = (),
    positions: Sequence[int] | None = None,
    feature_names: Sequence[str] | None = None,
) -> SampleSet:
    """Samples that are rows of ``features (N, D)``; those with a reason or without a label are skipped by their place.

    ``columns`` holds ``sample_id``, ``name``, ``label`` and what else the sample table is to have, each ``(N,)``: with
    ``media`` they are images;
    ``positions`` the rows' numbers in the source, ``feature_names`` those of the D columns, and ``skipped`` what was
    left out before.
    """
    table = pd.DataFrame(columns, dtype="str")
    if "true_label" in table:
        table["corrupted"] = (table["label"] != table["true_label"]).astype(bool)
    if positions is not None and list(positions) != list(range(len(table))):
        table["position"] = np.asarray(positions, dtype=np.int64)
    unlabelled = {int(row): "has no label" for row in np.flatnonzero(table["label"] == "")}
    reasons = unlabelled | reasons
    kept = np.ones(len(table), dtype=bool)
    kept[list(reasons)] = False
    refused = [(places[row], reason) for row, reason in sorted(reasons.items())]
    named = None if feature_names is None else tuple(feature_names)
    modality: Modality = "image" if "media" in table else "features"
    everything = SampleSet(name, modality, table, source, features=features, feature_names=named)
    samples = everything.keep(kept, skipped_table([*skipped, *refused]))
    samples.require_two_classes()
    return samples


def plain_id(given: str, row: int) -> str:
    """The sample id of ``row``: ``given`` where that is plain, else a digest of it; made from the row without one."""
    if not given:
        return f"row-{row:06d}"
    return given if PLAIN_ID.fullmatch(given) else opaque_id(given.encode())


def _not_finite(features: NDArray[np.floating]) -> dict[int, str]:
    """Reason by row, for rows that hold a NaN or an infinity."""
    reasons = {}
    for start in range(0, len(features), CHECKED_ROWS):
        finite = np.isfinite(features[start : start + CHECKED_ROWS])
        for row in np.flatnonzero(~finite.all(axis=1)):
            column = int(np.flatnonzero(~finite[row])[0])
            reasons[start + int(row)] = f"feature {column} is {features[start + row, column]}"
    return reasons


def _as_floats(features: NDArray[Any], file: Path) -> NDArray[np.floating]:
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(f"{file}: features must be a matrix (samples, features), not of shape {features.shape}")
    if not len(features):
        raise InputError(f"{file} holds no samples")
    if features.dtype.kind not in "fiub":
        raise InputError(f"{file}: features must be real numbers, not {features.dtype}")
    if isinstance(features, np.memmap) and features.dtype.kind == "f":
        return features  # converting would read it whole; the engine converts block by block
    return features if features.dtype == np.float64 else features.astype(np.float32, copy=False)


def _read_npy(file: Path) -> tuple[NDArray[Any], dict[str, Sequence[Any]]]:
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


def _read_npz(file: Path) -> tuple[NDArray[Any], dict[str, Sequence[Any]]]:
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


def _read_parquet(file: Path) -> tuple[NDArray[Any], dict[str, Sequence[Any]]]:
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
    # pandas stores a table's own index as such a column.
    rest = [
        field for field in table.schema if field.name not in columns and not field.name.startswith("__index_level_")
    ]
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
