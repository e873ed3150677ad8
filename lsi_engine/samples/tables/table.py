"""A table of numbers with a column of labels: the sample is the row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import resolved
from lsi_engine.samples.sample_set import SampleSet, description
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import Source
from lsi_engine.samples.tables.columns import (
    LABEL_COLUMN,
    LABEL_COLUMNS,
    OPTIONAL,
    choose_column,
    id_column,
    row_labels,
    stated_columns,
)
from lsi_engine.samples.tables.feature_rows import FeatureRows
from lsi_engine.samples.tables.rows import Rows, read_rows

#: What people write where there is no number.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "."})
#: Columns that hold no measurement: what pandas writes for the rows' numbers, and ids.
ROW_NUMBERS = ("", "index", "unnamed: 0")


def table(path: str | Path, *, label_column: str | None = None, progress: Progress = silent) -> SampleSet:
    """Each row of a CSV, TSV, JSONL (``.gz`` or not) or Parquet file; the features are its columns of numbers.

    Parameters
    ----------
    path
        The file. A column counts as numbers when more than half of its rows hold one; the others are left out and
        listed in ``skipped``, as are row numbers and ids. What the features are scaled by is the run's affair.
    label_column
        The column of the classes; when not given, the only one with a usual name (``LABEL_COLUMNS``), or the only one
        without numbers.
    progress
        Stage "scan", counted in columns.

    Returns
    -------
    Samples with ``features (N, D)`` float64 in the order of the file's columns. Ids come from ``sample_id`` or a unique
    ``id``, else row 42 is ``row-000042``. ``group``, ``true_label`` and ``split`` are read as in a feature file. Rows
    without a label, or with a missing, infinite or unreadable number, are listed in ``skipped`` with their place.

    Raises
    ------
    InputError
        Nothing there, a file that is damaged as a whole, a label column that cannot be told, no column of numbers (each
        other column is named with an example), or fewer than two classes.
    """
    file = resolved(path)
    rows = read_rows(file)
    if not len(rows):
        first = f"; {rows.skipped[0][0]}: {rows.skipped[0][1]}" if rows.skipped else ""
        raise InputError(f"{file} has columns but no rows that can be read{first}")
    numbers: dict[str, NDArray[np.float64]] = {}
    left_out: dict[str, str] = {}
    candidates = [name for name in rows.columns if name not in OPTIONAL]
    for done, name in enumerate(candidates):
        progress("scan", done, len(candidates))
        values = _numbers(rows.column(name))
        if np.count_nonzero(~np.isnan(values)) * 2 > len(rows):
            numbers[name] = values
        else:
            left_out[name] = _example(rows, name)
    progress("scan", len(candidates), len(candidates))
    of_label = _label_column(rows, label_column, list(left_out), file)
    for name in [*OPTIONAL, of_label]:
        numbers.pop(name, None)
        left_out.pop(name, None)
    identity = id_column(rows, {of_label})
    for name in list(numbers):
        if name == identity or name.casefold() in ROW_NUMBERS:
            del numbers[name]
            left_out[name] = "numbers the rows; that is no measurement"
    listed = [(f"column {name!r}", why) for name, why in left_out.items()]
    if not numbers:
        raise InputError(f"{file} has no column of numbers beside {of_label!r}. " + "; ".join(map(": ".join, listed)))

    features = np.stack(list(numbers.values()), axis=1)
    labels, reasons = row_labels(rows, of_label)
    # Beyond the range of single precision squares overflow even in double.
    with np.errstate(over="ignore"):
        usable = np.isfinite(features.astype(np.float32))
    for name, unusable in zip(numbers, ~usable.T, strict=True):
        cells = rows.column(name) if unusable.any() else []
        for row in map(int, np.flatnonzero(unusable)):
            said = "missing" if _is_missing(cells[row]) else repr(cells[row])[:40]
            reasons.setdefault(row, f"column {name!r} is {said}")
    read = FeatureRows(
        features,
        {"label": labels} | stated_columns(rows, {of_label}),
        rows.places,
        reasons,
        [*listed, *rows.skipped],
        rows.positions,
        tuple(numbers),
    )
    return read.samples(file.name, description("table", path=file, label_column=label_column))


def _label_column(rows: Rows, wanted: str | None, without_numbers: list[str], file: Path) -> str:
    known = [name for name in rows.columns if name.casefold() in LABEL_COLUMNS]
    if wanted is None and not known and len(without_numbers) == 1:
        return without_numbers[0]
    return choose_column(rows, wanted, LABEL_COLUMNS, "label", file)


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    """``(N,)``: the number in each cell, NaN for what is none."""
    try:
        if not any(isinstance(value, str) for value in values):
            return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        # Python reads "1_000" as a number, and nobody who writes tables does.
        return math.nan if isinstance(value, str) and "_" in value else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and value.strip().casefold() in MISSING)


def _example(rows: Rows, name: str) -> str:
    values = [value for value in rows.column(name) if not _is_missing(value)]
    if len(values) * 2 <= len(rows):
        return f"is empty in {len(rows) - len(values):,} of {len(rows):,} rows, so it is left out"
    stranger = next((value for value in values if math.isnan(_number(value))), values[0])
    return f"holds no numbers, e.g. {repr(stranger)[:40]}, so it is left out"


TABLE = Source(
    table,
    "Table",
    command="table",
    modality="features",
    settings=(
        Setting("path", "file", "CSV, TSV, JSONL or Parquet with columns of numbers", label="Table", required=True),
        LABEL_COLUMN,
    ),
    with_features=True,
)
