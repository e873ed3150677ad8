"""Rows out of CSV, TSV, JSONL, Parquet and Arrow files, with the place of each row for messages.

Nothing here trusts the file: lines and cells have a limit, a compressed file is read as a stream, and a row that cannot
be read is listed with its line instead of ending the reading.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia

#: Characters in one line of JSON or one cell of CSV: above, the row is not read.
MAX_CELL = 32 * 2**20
#: Characters in one whole file, after decompression.
MAX_FILE = 4 * 2**30
#: The endings that are read, ``.gz`` behind the first five allowed.
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")

csv.field_size_limit(MAX_CELL)
Row = TypeVar("Row")


@dataclass(frozen=True)
class Rows:
    """A table of anything: cells of CSV are ``str``, the others have the file's own types, missing ones ``None``.

    Attributes
    ----------
    columns
        Names, each once, in the file's order.
    places
        Where each of the N rows stands, e.g. ``"line 17"``.
    column
        The N values of a column by its name.
    positions
        Number of each row in the file, from 0, rows that cannot be read counted.
    skipped
        ``(place, reason)`` of the rows that cannot be read.
    class_names
        Names by code of the columns that hold coded classes (Hugging Face's ``ClassLabel``).
    """

    columns: list[str]
    places: list[str]
    column: Callable[[str], list[Any]]
    positions: list[int]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    class_names: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)


def ending(path: Path) -> str:
    """The ending that decides how ``path`` is read, e.g. ``.csv`` for ``a.CSV.gz``; "" when it is not known."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz" and suffixes[-2:-1] != [".parquet"]:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in ENDINGS else ""


def read_rows(path: Path) -> Rows:
    """The rows of a CSV, TSV, JSONL or Parquet file; the name's ending decides.

    Raises ``InputError`` naming the file, and the line where there is one, for what is missing, no plain file, damaged
    as a whole, empty, too large, or has a column name twice.
    """
    if not path.exists():
        raise InputError(f"there is no file {path}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path} is not a plain file")
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": read_parquet}
    if not (kind := ending(path)):
        raise InputError(f"{path} is none of {', '.join(ENDINGS)}; save it as one of them")
    rows = readers.get(kind, _read_json_lines)(path)
    twice = [name for name in rows.columns if rows.columns.count(name) > 1]
    if twice:
        raise InputError(f"{path} has two columns called {twice[0]!r}; rename one of them")
    return rows


def _lines(path: Path) -> Iterator[str]:
    """Lines with their ends; bytes that are no UTF-8 come as lone surrogates, so that their row can be named."""
    read = 0
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as raw:
            marked = raw.read(2) in (b"\xff\xfe", b"\xfe\xff")
            raw.seek(0)
            encoding = "utf-16" if marked else "utf-8-sig"
            with io.TextIOWrapper(raw, encoding, errors="surrogateescape", newline="") as text:
                while line := text.readline(MAX_CELL):
                    read += len(line)
                    if len(line) == MAX_CELL or read > MAX_FILE:
                        limit = MAX_CELL if len(line) == MAX_CELL else MAX_FILE
                        what = "a line" if limit == MAX_CELL else "a file"
                        raise InputError(f"{path}: {what} of over {limit >> 20} million characters is not read")
                    yield line
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read_csv(path: Path) -> Rows:
    lines = _lines(path)
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise InputError(f"{path} is empty")
    delimiter = "\t" if ending(path) == ".tsv" else max(",;\t", key=first.count)

    def numbered() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(numbered(), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(reader)]
    except csv.Error as error:
        raise InputError(f"{path}: the first line is no list of column names: {error}") from error

    def found() -> Iterator[tuple[str, list[str] | UnreadableMedia]]:
        while True:
            place = f"line {reader.line_num + 1}"
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield place, UnreadableMedia(f"no CSV row: {error}")
                continue
            if row and len(row) != len(columns):
                reason = f"has {len(row)} cells where the first line has {len(columns)}"
                yield place, UnreadableMedia(reason)
            elif row:
                yield place, row

    cells, places, positions, skipped = _sorted_out(found())

    def column(name: str) -> list[Any]:
        at = columns.index(name)
        return [row[at] for row in cells]

    return Rows(columns, places, column, positions, skipped)


def _sorted_out(
    found: Iterable[tuple[str, Row | UnreadableMedia]],
) -> tuple[list[Row], list[str], list[int], list[tuple[str, str]]]:
    """Usable rows, their places and their positions, and the places and reasons of the others."""
    rows, places, positions, skipped = [], [], [], []
    for position, (place, row) in enumerate(found):
        if isinstance(row, UnreadableMedia):
            skipped.append((place, str(row)))
        else:
            rows.append(row)
            places.append(place)
            positions.append(position)
    return rows, places, positions, skipped


def _read_json_lines(path: Path) -> Rows:
    def found() -> Iterator[tuple[str, dict[str, Any] | UnreadableMedia]]:
        for number, line in enumerate(_lines(path), start=1):
            if line.strip():
                yield f"line {number}", _record(line)

    records, places, positions, skipped = _sorted_out(found())
    if not records:
        why = f"; {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"{path} holds no JSON object; one on each line is needed{why}")
    columns = list(dict.fromkeys(name for record in records for name in record))
    return Rows(columns, places, lambda name: [record.get(name) for record in records], positions, skipped)


def _record(line: str) -> dict[str, Any] | UnreadableMedia:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return UnreadableMedia(f"no JSON: {reason}")
    if not isinstance(record, dict):
        return UnreadableMedia(f"holds a {type(record).__name__}, not an object with columns")
    return record


def read_parquet(path: Path) -> Rows:
    """The rows of a Parquet file; a column is read when it is asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        schema, count = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error

    def column(name: str) -> list[Any]:
        try:
            return file.read(columns=[name]).column(0).to_pylist()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path}: column {name!r} cannot be read: {error}") from error

    return _arrow_rows(schema, count, column)


def read_arrow(path: Path) -> Rows:
    """The rows of an Arrow stream file, as Hugging Face's ``save_to_disk`` writes it."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as mapped:
            table = pa.ipc.open_stream(mapped).read_all()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as an Arrow stream: {error}") from error

    def column(name: str) -> list[Any]:
        try:
            return table.column(name).to_pylist()
        except (ValueError, pa.ArrowException) as error:
            raise InputError(f"{path}: column {name!r} cannot be read: {error}") from error

    return _arrow_rows(table.schema, table.num_rows, column)


def _arrow_rows(schema: Any, count: int, column: Callable[[str], list[Any]]) -> Rows:
    columns = [name for name in schema.names if not is_index(name)]
    stated = (schema.metadata or {}).get(b"huggingface", b"{}")
    places, positions = [f"row {row}" for row in range(count)], list(range(count))
    try:
        names = class_names(json.loads(stated).get("info", {}).get("features", {}))
    except (ValueError, AttributeError):
        names = {}
    return Rows(columns, places, column, positions, class_names=names)


def is_index(column: str) -> bool:
    """Whether a Parquet ``column`` is a table's own index, which pandas stores beside the others."""
    return column.startswith("__index_level_")


def class_names(features: Any) -> dict[str, list[str]]:
    """Class names by column out of a Hugging Face description of features; what has another form is passed over."""
    found = {}
    for name, feature in features.items() if isinstance(features, dict) else ():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            found[name] = names
    return found
