"""Labels as people store them: class names out of arrays of any type, and the CSV of an image folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia, resolved


class LabelRow(NamedTuple):
    """What a sample's row in a label file says; ``split`` and ``group`` are "" where it says nothing."""

    label: str
    split: str = ""
    group: str = ""


def class_name(value: Any, where: str) -> str:
    """The class name that ``value`` stands for: 3, 3.0 and "3" are all "3"; missing values are "".

    Raises ``InputError`` starting with ``where`` for fractions, infinities and whatever is no label at all.
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        if float(value).is_integer():
            return str(int(value))
        raise InputError(f"{where}: the label {value} is not a class; labels are names or whole numbers")
    if value != value:  # pandas' own missing values
        return ""
    raise InputError(
        f"{where}: a label of type {type(value).__name__} is not a class; labels are names or whole numbers"
    )


@dataclass(frozen=True)
class LabelTable:
    """A CSV file with the columns ``path, label`` and optionally ``split, group``: its row by relative path."""

    path: Path
    rows: dict[str, LabelRow]

    @classmethod
    def read(cls, given: str | Path) -> LabelTable:
        """The file ``given``, whose paths are relative to the image folder; "\\" for "/" and "./" in front allowed.

        Raises ``InputError`` naming the line for a missing column or label, or a path that occurs twice with different
        labels.
        """
        path = resolved(given)
        rows: dict[str, LabelRow] = {}
        for line, record in _records(path):
            where = f"{path}, line {line}"
            image, label = (record.get("path") or "").strip(), (record.get("label") or "").strip()
            if not image or not label:
                raise InputError(f"{where}: {'path' if not image else 'label'} is empty; fill it in or remove the line")
            key = str(PurePosixPath(image.replace("\\", "/")))
            row = LabelRow(label, (record.get("split") or "").strip(), (record.get("group") or "").strip())
            if rows.setdefault(key, row) != row:
                raise InputError(f"{where}: {image} was named before, as {rows[key].label!r}, now as {label!r}")
        if not rows:
            raise InputError(f"{path} names no image")
        return cls(path, rows)

    def row(self, path: str) -> LabelRow:
        """The row of the image ``path``; raises ``UnreadableMedia`` when there is none."""
        if path not in self.rows:
            raise UnreadableMedia("the label file does not name it")
        return self.rows[path]


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
            for column in ("path", "label"):
                if column not in reader.fieldnames:
                    raise InputError(
                        f"{path} has no column {column!r}; its first line should be path,label[,split,group]"
                    )
            for record in reader:
                yield reader.line_num, record
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a UTF-8 CSV file: {error}") from error
