"""An append-only SQLite file: how decisions and readings are kept.

Rows are only ever added: triggers refuse every change and every removal. What holds now is derived from the rows.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lsi_engine.errors import InputError

BUSY_SECONDS = 60.0


@dataclass(frozen=True)
class Schema:
    """Tables of a log. ``name`` is what people call it; ``version`` stands in the file as SQLite's ``user_version``.

    ``tables`` maps names to column definitions; those in ``append_only`` refuse UPDATE and DELETE. ``further`` are
    statements that are run once more for each new version: each must do nothing where it has been done.
    """

    name: str
    version: int
    tables: dict[str, str]
    append_only: tuple[str, ...]
    further: tuple[str, ...] = ()

    def script(self) -> str:
        """What makes a file of this version from one of any earlier."""
        made = [f"CREATE TABLE IF NOT EXISTS {table} ({columns})" for table, columns in self.tables.items()]
        guarded = [
            f"CREATE TRIGGER IF NOT EXISTS {table}_are_never_{past} BEFORE {act} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'the {self.name} is append-only'); END"
            for table in self.append_only
            for act, past in (("UPDATE", "changed"), ("DELETE", "removed"))
        ]
        statements = [*made, *self.further, *guarded, f"PRAGMA user_version = {self.version}"]
        return f"BEGIN IMMEDIATE; {'; '.join(statements)}; COMMIT;"


class Log:
    """The file at ``path``, made with the first row that is written. Threads and processes may share it.

    Open it anew after a fork. Raises ``InputError`` when the file is something else, or newer than this program.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = Path(path)
        self.schema = schema
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None

    def read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Rows of ``query``; none where there is no file yet."""
        with self._lock:
            if self._opened is None and not self.path.exists():
                return []
            return self._connection().execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that takes the write lock at its start, so that what it reads cannot go stale."""
        with self._lock:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def copy_to(self, copy: sqlite3.Connection) -> None:
        """Copy the log, as it stands at one moment, into an empty database."""
        with self._lock:
            self._connection().backup(copy)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in range(self.schema.version + 1):
                raise InputError(f"{self.path} was written by another version of this program (log format {version})")
            # WAL: readers never wait for the writer. FULL, not NORMAL: in WAL mode NORMAL may forget the last
            # commits when the power fails, and a decision shown as saved must be on the disk.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if version < self.schema.version:
                connection.executescript(self.schema.script())
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError as error:
            connection.close()
            raise InputError(
                f"{self.path} is not a {self.schema.name} ({error}); move it away or restore it"
            ) from error
        except InputError:
            connection.close()
            raise
        return connection


def now() -> str:
    """The moment, as the logs write it: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
