"""Which column of a file of rows is what: texts, labels, ids and the rest that a sample table has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia, encodable
from lsi_engine.samples.sample_set import opaque_id
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.tables.label_table import class_name
from lsi_engine.samples.tables.rows import Rows

#: Names that tell a column of labels, letter case aside.
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "sentiment", "diagnosis", "species", "y")
LABEL_COLUMN = Setting("label_column", "text", "column of the labels; found by its name if usual")
MAX_LABEL = 200
#: Columns that become the sample table's own of the same name, and what an array of them is called in ``.npz``.
OPTIONAL = {"sample_id": "sample_ids", "group": "groups", "true_label": "true_labels", "split": "splits"}
PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def choose_column(
    rows: Rows, wanted: str | None, known: tuple[str, ...], what: str, where: Path, besides: str | None = None
) -> str:
    """The column called ``wanted``, or the only one of the ``known`` names, letter case aside.

    With two columns of which ``besides`` is one, the other is meant. Raises ``InputError`` listing the columns.
    """
    listed = ", ".join(repr(name) for name in rows.columns[:20]) + (" …" if len(rows.columns) > 20 else "")
    option = f"--{what}-column"
    if wanted is not None:
        matches = [name for name in rows.columns if name == wanted] or [
            name for name in rows.columns if name.casefold() == wanted.casefold()
        ]
        if len(matches) != 1:
            raise InputError(f"{where} has no {what} column {wanted!r}; its columns are {listed}")
        return matches[0]
    found = [name for name in rows.columns if name.casefold() in known and name != besides]
    if len(found) == 1:
        return found[0]
    others = [name for name in rows.columns if name != besides]
    if not found and besides is not None and len(others) == 1:
        return others[0]
    if found:
        raise InputError(
            f"{where}: {' and '.join(repr(name) for name in found)} could each be the {what} column; "
            f"name one with {option}. Its columns are {listed}"
        )
    raise InputError(f"{where}: no column is known to be the {what}; name it with {option}. Its columns are {listed}")


def id_column(rows: Rows, besides: set[str]) -> str | None:
    """The column that identifies rows: ``sample_id``, or ``id`` where that has a different value for each row."""
    for name in ("sample_id", "id"):
        if name in rows.columns and name not in besides:
            values = _strings(rows, name)
            if name == "sample_id" or (all(values) and len(set(values)) == len(values)):
                return name
    return None


def stated_columns(rows: Rows, besides: set[str]) -> dict[str, list[str]]:
    """``sample_id`` and ``name`` of each row, and ``group``, ``true_label`` and ``split`` where the file has them."""
    given = id_column(rows, besides)
    ids = [""] * len(rows) if given is None else _strings(rows, given)
    stated = {
        "sample_id": [plain_id(each, position) for each, position in zip(ids, rows.positions, strict=True)],
        "name": [each or place for each, place in zip(ids, rows.places, strict=True)],
    }
    for name in OPTIONAL:
        if name in rows.columns and name not in {*besides, "sample_id"}:
            stated[name] = _strings(rows, name)
    return stated


def sample_table(columns: dict[str, list[str]], positions: Sequence[int] | None) -> pd.DataFrame:
    """``columns`` as a sample table, with ``corrupted`` where they state a ``true_label``.

    ``positions`` are the rows' numbers in the source; the table has them where they are not 0, 1, 2, ….
    """
    table = pd.DataFrame(columns, dtype="str")
    if "true_label" in table:
        table["corrupted"] = (table["label"] != table["true_label"]).astype(bool)
    if positions is not None and list(positions) != list(range(len(table))):
        table["position"] = np.asarray(positions, dtype=np.int64)
    return table


def plain_id(given: str, row: int) -> str:
    """The sample id of ``row``: ``given`` where that is plain, else a digest of it; made from the row without one."""
    if not given:
        return f"row-{row:06d}"
    return given if PLAIN_ID.fullmatch(given) else opaque_id(given.encode())


def row_labels(rows: Rows, column: str) -> tuple[list[str], dict[int, str]]:
    """The class name in each row, "" where there is none, and by row the reason for that."""
    labels, reasons = [], {}
    for row, value in enumerate(rows.column(column)):
        try:
            labels.append(_row_label(value, rows.class_names.get(column)))
        except UnreadableMedia as reason:
            labels.append("")
            reasons[row] = str(reason)
    return labels, reasons


def _row_label(value: Any, names: list[str] | None) -> str:
    """The class name of one row; raises ``UnreadableMedia`` with the reason for what is none."""
    if names is not None and isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(names):
            raise UnreadableMedia(f"has no label (its code is {value}, the dataset names 0 to {len(names) - 1})")
        value = names[value]
    try:
        name = class_name(value, "")
    except InputError as error:
        raise UnreadableMedia(str(error).removeprefix(": ")) from error
    if not name:
        raise UnreadableMedia("has no label")
    if len(name) > MAX_LABEL:
        raise UnreadableMedia(f"its label has {len(name):,} characters: is that the label column?")
    if not encodable(name) or "\0" in name:
        raise UnreadableMedia("its label is not valid UTF-8 text")
    return name


def _strings(rows: Rows, name: str) -> list[str]:
    """A column as text that can be stored, codes of classes as their names; raises ``InputError`` naming the row."""
    names = rows.class_names.get(name, [])
    texts = []
    for place, value in zip(rows.places, rows.column(name), strict=True):
        coded = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names)
        texts.append(class_name(names[value] if coded else value, f"{place}, {name}"))
    return [text.encode("utf-8", "backslashreplace").decode() for text in texts]
