"""Texts with labels: a file of rows, a Hugging Face dataset on disk, or a folder of ``.txt`` files for each class."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, content_key, files_below, inside, resolved
from lsi_engine.samples.sample_set import SampleSet, description, skipped_table
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import Source
from lsi_engine.samples.tables.columns import (
    LABEL_COLUMN,
    LABEL_COLUMNS,
    choose_column,
    row_labels,
    sample_table,
    stated_columns,
)
from lsi_engine.samples.tables.rows import Rows, class_names, read_arrow, read_parquet, read_rows
from lsi_engine.samples.text.text_folder import text_folder, unusable

#: Names that tell a column, letter case aside.
TEXT_COLUMNS = ("text", "texts", "review", "sentence", "content", "document", "message", "comment", "body")


def texts(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    split: str | None = None,
    progress: Progress = silent,
) -> SampleSet:
    """Every labelled text of ``path``, in its own order.

    Parameters
    ----------
    path
        A CSV, TSV or JSONL file (``.gz`` or not), a Parquet file, a folder that Hugging Face's ``save_to_disk`` wrote,
        a folder of Parquet files, or a folder with one folder of ``.txt`` files for each class, directly or below
        folders for the splits (the layout of IMDb's ``aclImdb``; its ``unsup`` folders have no labels, so they are
        left out).
    text_column, label_column
        Columns of a file of rows; when not given, the only one with a usual name (``TEXT_COLUMNS``,
        ``LABEL_COLUMNS``), or the other of two.
    split
        Keep only this split (``train``) of a source that states splits.
    progress
        Stage "scan", counted in texts.

    Returns
    -------
    Samples with the column ``text``; ``content`` is the hash of its UTF-8 bytes. Ids come from a column ``sample_id``,
    or ``id`` where that has a different value for each row; else row 42 is ``row-000042`` and a file's id a digest of
    its relative path. ``group``, ``true_label`` and ``split`` are read as in a feature file. ``skipped`` lists, with
    the reason, rows that cannot be read, have no label, or whose text is empty, too long or no valid Unicode.

    Raises
    ------
    InputError
        Nothing there, a file that is damaged as a whole, columns that cannot be told (they are listed), or fewer than
        two classes.
    """
    place = resolved(path)
    source = description("texts", path=place, text_column=text_column, label_column=label_column, split=split)
    rows = _rows_of(place)
    if rows is None:
        table, skipped = text_folder(place, progress)
        reasons: dict[int, str] = {}
    else:
        table, reasons = _table(rows, place, text_column, label_column, progress)
        skipped = rows.skipped
    kept = np.ones(len(table), dtype=bool)
    if split is not None:
        stated = sorted(set(table["split"])) if "split" in table else []
        if split not in stated:
            raise InputError(f"{place} states no split {split!r}; it has {', '.join(map(repr, stated)) or 'no splits'}")
        kept = (table["split"] == split).to_numpy(dtype=bool, copy=True)
        reasons = {row: reason for row, reason in reasons.items() if kept[row]}
        if not kept.all():
            skipped = [*skipped, (f"{(~kept).sum():,} texts", f"not of the split {split!r}")]
    kept[list(reasons)] = False
    skipped = [*skipped, *((str(table["name"].iat[row]), reason) for row, reason in sorted(reasons.items()))]
    everything = SampleSet(place.name, "text", table, source)
    samples = everything.keep(kept, skipped_table(skipped))
    samples.require_two_classes()
    return samples


def _rows_of(place: Path) -> Rows | None:
    """Rows of a file or a Hugging Face dataset; None for a folder of text files."""
    if not place.is_dir():
        return read_rows(place)
    if (place / "dataset_dict.json").is_file():
        names = _json(place / "dataset_dict.json").get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{place / 'dataset_dict.json'} names no splits; save the dataset again")
        return _joined([_labelled_split(_saved(_below(place, name)), name) for name in names], place)
    if (place / "state.json").is_file():
        return _saved(place)
    skipped: list[tuple[str, str]] = []
    files = sorted(path for path in files_below(place, skipped) if path.lower().endswith(".parquet"))
    if not files:
        return None
    rows = _joined([_labelled_split(read_parquet(_below(place, file)), _split_of(file)) for file in files], place)
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


def _table(
    rows: Rows, place: Path, text_column: str | None, label_column: str | None, progress: Progress
) -> tuple[pd.DataFrame, dict[int, str]]:
    """The sample table of all rows, and the reason by row for those that cannot be used."""
    if not len(rows) and not rows.skipped:
        raise InputError(f"{place} has columns but no rows")
    try:
        of_text = choose_column(rows, text_column, TEXT_COLUMNS, "text", place, besides=label_column)
        of_label = choose_column(rows, label_column, LABEL_COLUMNS, "label", place, besides=of_text)
    except InputError:
        if text_column is not None:
            raise
        # With the label known, the text may be the only column left.
        of_label = choose_column(rows, label_column, LABEL_COLUMNS, "label", place)
        of_text = choose_column(rows, None, TEXT_COLUMNS, "text", place, besides=of_label)
    if of_text == of_label:
        raise InputError(f"{place}: {of_text!r} is named as both the text and the label column")
    labels, reasons = row_labels(rows, of_label)
    written = []
    for row, value in enumerate(rows.column(of_text)):
        if row % 1000 == 0:
            progress("scan", row, len(rows))
        if row not in reasons:
            reason = unusable(value) if isinstance(value, str) else f"its {of_text!r} is {_kind(value)}, not text"
            if reason:
                reasons[row] = reason
        written.append("" if row in reasons else value)
    progress("scan", len(rows), len(rows))
    columns = {"label": labels, "text": written, "content": [content_key(text.encode()) for text in written]}
    return sample_table(stated_columns(rows, {of_text, of_label}) | columns, rows.positions), reasons


def _kind(value: Any) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"


TEXTS = Source(
    texts,
    "Texts",
    "Texts",
    command="texts",
    modality="text",
    settings=(
        Setting(
            "path",
            "path",
            "CSV, TSV, JSONL or Parquet; or a folder: one of .txt files a class, or a Hugging Face dataset",
            label="File or folder of texts",
            required=True,
        ),
        Setting("text_column", "text", "column of the texts; found by its name if usual", label="Text column"),
        LABEL_COLUMN,
        Setting("split", "text", "keep only this split, e.g. train", label="Split"),
    ),
)
