"""Features that someone computed already: an ``.npz``, ``.npy`` or ``.parquet`` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import resolved
from lsi_engine.samples.sample_set import SampleSet, description
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import Source
from lsi_engine.samples.tables.columns import plain_id
from lsi_engine.samples.tables.feature_formats import read_features
from lsi_engine.samples.tables.feature_rows import FeatureRows
from lsi_engine.samples.tables.label_table import class_name
from lsi_engine.samples.tables.row_pictures import pictures_of, row_pictures

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
    with ``X.labels.npy`` beside ``X.npy`` for the labels ``(N,)`` and, optionally, ``X.groups.npy`` and so on: for more
    features than memory.

    Features are kept as float32, or as float64 where they are that or hold integers of 32 bits and more, which float32
    rounds. Labels may be text or whole numbers with gaps; 3.0 is the class "3", and 3.5 is an error. With ``class_names
    (C,)`` labels are numbers below C, and class k is called by the k-th name. A sample's id is the given one where that
    is plain (letters, digits, ``-``, ``_``; 64 at most), else a digest of it; row 42 of a file without ids is
    ``row-000042``. Rows with NaN or infinite features or without a label are skipped and listed.

    Pictures are shown and never scored. ``image_path`` (``image_paths`` in ``.npz``, ``X.image_paths.npy``) names each
    row's, relative to the folder ``images`` or else to the file's own; without it, row i has the i-th picture of
    ``images`` (:func:`.row_pictures.row_pictures`). Then the modality is "image", ``media`` refers to the picture and
    ``image_content`` is the hash of its bytes, both "" for a row without one. A picture that is missing or leads out of
    the folder is listed, and its row scored all the same. ``images=""`` looks for none.

    Raises ``InputError`` naming the file and the row, column or lengths for anything that cannot be used, and for
    ``images`` without a single picture of a row.
    """
    file = resolved(path)
    if not file.is_file():
        raise InputError(f"there is no feature file {file}")
    features, columns = read_features(file)
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
    source = description(
        "feature_file",
        path=file,
        class_names=list(class_names) or None,
        images=resolved(images) if images else images,
    )
    read = FeatureRows(features, identity | text, places, _not_finite(features), skipped)
    return read.samples(file.name, source)


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


def _not_finite(features: NDArray[np.floating]) -> dict[int, str]:
    """Reason by row, for rows that hold a NaN or an infinity."""
    reasons = {}
    for start in range(0, len(features), CHECKED_ROWS):
        finite = np.isfinite(features[start : start + CHECKED_ROWS])
        for row in np.flatnonzero(~finite.all(axis=1)):
            column = int(np.flatnonzero(~finite[row])[0])
            reasons[start + int(row)] = f"feature {column} is {features[start + row, column]}"
    return reasons


FEATURE_FILE = Source(
    feature_file,
    "Feature file",
    command="features",
    modality="features",
    settings=(
        Setting(
            "path",
            "file",
            ".npz with features and labels, .npy with X.labels.npy beside it, or .parquet",
            label="Feature file",
            required=True,
        ),
        Setting(
            "images",
            "folder",
            "to look at: row i has the i-th of this folder (images, or CIFAR batches); or, where the file names them, "
            "where the paths in its image_path begin",
            label="Pictures",
        ),
        Setting("class_names", "names", "what the classes 0, 1, … are called, in that order", ()),
    ),
    media_source=pictures_of,
    with_features=True,
)
