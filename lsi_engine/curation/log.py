"""The file of the review log: its tables, how it is opened, and the two things that are ever written to it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from lsi_engine.curation.decision import Conflict, Decision
from lsi_engine.errors import InputError

#: Version 1 had no table ``carried``; a log of it gets one when it is opened.
SCHEMA_VERSION = 2
BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sample_id   TEXT NOT NULL,
    action      TEXT NOT NULL CHECK (action IN ('keep', 'relabel', 'drop', 'unsure', 'undo')),
    new_label   TEXT,
    note        TEXT NOT NULL,
    reviewer    TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    given_label TEXT NOT NULL,
    at          TEXT NOT NULL,
    token       TEXT NOT NULL UNIQUE,
    undoes      INTEGER UNIQUE REFERENCES events (id),
    UNIQUE (sample_id, revision),
    CHECK ((action = 'relabel') = (new_label IS NOT NULL)),
    CHECK ((action = 'undo') = (undoes IS NOT NULL))
);
CREATE TABLE IF NOT EXISTS carried (
    event INTEGER PRIMARY KEY REFERENCES events (id),
    run   TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_reviewer ON events (reviewer, id);
CREATE TRIGGER IF NOT EXISTS events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the review log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_are_never_removed BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the review log is append-only'); END;
"""


def open_log(path: Path) -> sqlite3.Connection:
    """The log at ``path``, made when there is none; raises ``InputError`` when the file is something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in range(SCHEMA_VERSION + 1):
            raise InputError(f"{path} was written by another version of this program (log format {version})")
        # WAL: readers never wait for the writer. FULL, not NORMAL: in WAL mode NORMAL may forget the last
        # commits when the power fails, and a decision shown as saved must be on the disk.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if version < SCHEMA_VERSION:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        raise InputError(f"{path} is not a review log ({error}); move it away or restore it") from error
    except InputError:
        connection.close()
        raise
    return connection


def append(connection: sqlite3.Connection, decision: Decision) -> int:
    """Append one decision within the connection's transaction and return the sample's new revision.

    A token that is known already changes nothing. Raises ``Conflict`` when the sample has moved on.
    """
    seen = connection.execute("SELECT sample_id, revision FROM events WHERE token = ?", (decision.token,)).fetchone()
    if seen:
        if seen["sample_id"] != decision.sample_id:
            raise InputError(f"token {decision.token!r} was already used for another sample; use a fresh one")
        return int(seen["revision"])
    revision = _revision(connection, decision.sample_id)
    if revision != decision.expected_revision:
        newest = connection.execute(
            "SELECT * FROM events WHERE sample_id = ? ORDER BY id DESC LIMIT 1", (decision.sample_id,)
        ).fetchone()
        raise Conflict(decision.sample_id, decision.expected_revision, dict(newest) if newest else None, revision)
    _insert(
        connection, decision.sample_id, decision.action, decision.new_label, decision.note,
        decision.reviewer.strip(), revision + 1, decision.given_label, decision.token, None,
    )  # fmt: skip
    return revision + 1


def withdraw(connection: sqlite3.Connection, decision: sqlite3.Row, token: str) -> None:
    """Append the withdrawal of a stored decision."""
    revision = _revision(connection, decision["sample_id"]) + 1
    _insert(
        connection, decision["sample_id"], "undo", None, "", decision["reviewer"], revision,
        decision["given_label"], token, decision["id"],
    )  # fmt: skip


def _revision(connection: sqlite3.Connection, sample_id: str) -> int:
    row = connection.execute("SELECT MAX(revision) FROM events WHERE sample_id = ?", (sample_id,)).fetchone()
    return int(row[0] or 0)


def _insert(
    connection: sqlite3.Connection,
    sample_id: str,
    action: str,
    new_label: str | None,
    note: str,
    reviewer: str,
    revision: int,
    given_label: str,
    token: str,
    undoes: int | None,
) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    connection.execute(
        "INSERT INTO events (sample_id, action, new_label, note, reviewer, revision, given_label, at, token, undoes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (sample_id, action, new_label, note, reviewer, revision, given_label, at, token, undoes),
    )
