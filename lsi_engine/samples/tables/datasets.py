"""Datasets that lie in a folder as several files of rows: Hugging Face's ``save_to_disk``, or Parquet files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia, files_below, inside
from lsi_engine.samples.tables.rows import Rows, class_names, read_arrow, read_parquet


def read_dataset(folder: Path) -> Rows | None:
    """All rows of the dataset in ``folder``, with a column ``split`` where its files say which; ``None`` for others.

    Raises ``InputError`` naming the file that is missing, damaged or outside the folder, or has other columns.
    """
    described = folder / "dataset_dict.json"
    if described.is_file():
        names = _json(described).get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{described} names no splits; save the dataset again")
        return _joined([_labelled_split(_saved(_below(folder, name)), name) for name in names], folder)
    if (folder / "state.json").is_file():
        return _saved(folder)
    skipped: list[tuple[str, str]] = []
    files = sorted(path for path in files_below(folder, skipped) if path.lower().endswith(".parquet"))
    if not files:
        return None
    rows = _joined([_labelled_split(read_parquet(_below(folder, file)), _split_of(file)) for file in files], folder)
    return dataclasses.replace(rows, skipped=skipped + rows.skipped)


def _saved(folder: Path) -> Rows:
    """One split as ``save_to_disk`` writes it: the data files that ``state.json`` lists, in its order."""
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise InputError(f"{folder} holds a selection of rows by index; save it again after flatten_indices()")
    listed = state.get("_data_files")
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise InputError(f"{folder / 'state.json'} lists no data files; save the dataset again")
    rows = _joined([read_arrow(_below(folder, str(each.get("filename", "")))) for each in listed], folder)
    described = _json(folder / "dataset_info.json").get("features") if (folder / "dataset_info.json").is_file() else {}
    rows = dataclasses.replace(rows, class_names=rows.class_names | class_names(described))
    split = state.get("_split")
    return _labelled_split(rows, split) if isinstance(split, str) else rows


def _below(folder: Path, name: str) -> Path:
    try:
        return inside(str(folder), name)
    except UnreadableMedia as reason:
        raise InputError(f"{folder}: {name!r} {reason}") from reason


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes()[: 64 * 2**20])
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object")
    return value


def _split_of(file: str) -> str:
    """``train`` for ``data/train-00000-of-00004.parquet`` and ``train/0000.parquet``; "" where no part says it."""
    for part in reversed(file.split("/")):
        for split in ("train", "test", "validation", "unsupervised"):
            if part == split or part.startswith((f"{split}-", f"{split}.")):
                return split
    return ""


def _labelled_split(rows: Rows, split: str) -> Rows:
    if "split" in rows.columns or not split:
        return rows
    column = rows.column
    return dataclasses.replace(
        rows,
        columns=[*rows.columns, "split"],
        column=lambda name: [split] * len(rows) if name == "split" else column(name),
        places=[f"{split}, {place}" for place in rows.places],
    )


def _joined(parts: Sequence[Rows], where: Path) -> Rows:
    """The rows of several files of one dataset, one after the other."""
    if not parts:
        raise InputError(f"{where} holds no data files")
    if len(parts) == 1:
        return parts[0]
    for part in parts[1:]:
        if set(part.columns) != set(parts[0].columns):
            differing = sorted(set(part.columns) ^ set(parts[0].columns))
            raise InputError(f"{where}: its files have different columns ({', '.join(differing)}); give one of them")
    places: list[str] = []
    for part in parts:
        # Row numbers count through the files, like the positions.
        places += [f"{place.rpartition('row ')[0]}row {len(places) + at}" for at, place in enumerate(part.places)]
    return Rows(
        parts[0].columns,
        places,
        lambda name: [value for part in parts for value in part.column(name)],
        list(range(len(places))),
        [item for part in parts for item in part.skipped],
        {name: names for part in parts for name, names in part.class_names.items()},
    )
