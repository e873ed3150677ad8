"""Texts with labels: a file of rows, a Hugging Face dataset on disk, or a folder of ``.txt`` files for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import content_key, resolved
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
from lsi_engine.samples.tables.datasets import read_dataset
from lsi_engine.samples.tables.rows import Rows, read_rows
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
        folders for the splits (the layout of IMDb's ``aclImdb``; its ``unsup`` folders have no labels, so they are left
        out).
    text_column, label_column
        Columns of a file of rows; when not given, the only one with a usual name (``TEXT_COLUMNS``, ``LABEL_COLUMNS``),
        or the other of two.
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
    rows = read_dataset(place) if place.is_dir() else read_rows(place)
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
        Setting("text_column", "text", "column of the texts; found by its name if usual"),
        LABEL_COLUMN,
        Setting("split", "text", "keep only this split, e.g. train"),
    ),
)
