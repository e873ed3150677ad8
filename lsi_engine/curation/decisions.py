"""The review log: every decision a person made about a sample, appended and never changed.

One SQLite file a run. A row is an event: a decision (keep, relabel, drop, unsure) or the withdrawal of one
(undo). What holds now is derived: for each sample the newest decision that has not been withdrawn.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lsi_engine.curation.decision import ACTIONS, Action, Conflict, Decision
from lsi_engine.curation.log import Log, Schema, now
from lsi_engine.errors import InputError
from lsi_engine.files import replacing

__all__ = ["ACTIONS", "LATEST_COLUMNS", "Action", "Conflict", "Decision", "Decisions", "digest"]

#: Version 1 had no table ``carried``; a log of it gets one when it is opened.
_SCHEMA = Schema(
    name="review log",
    version=2,
    tables={
        "events": "id INTEGER PRIMARY KEY AUTOINCREMENT, sample_id TEXT NOT NULL, "
        "action TEXT NOT NULL CHECK (action IN ('keep', 'relabel', 'drop', 'unsure', 'undo')), "
        "new_label TEXT, note TEXT NOT NULL, reviewer TEXT NOT NULL, revision INTEGER NOT NULL, "
        "given_label TEXT NOT NULL, at TEXT NOT NULL, token TEXT NOT NULL UNIQUE, "
        "undoes INTEGER UNIQUE REFERENCES events (id), UNIQUE (sample_id, revision), "
        "CHECK ((action = 'relabel') = (new_label IS NOT NULL)), CHECK ((action = 'undo') = (undoes IS NOT NULL))",
        "carried": "event INTEGER PRIMARY KEY REFERENCES events (id), run TEXT NOT NULL",
    },
    append_only=("events",),
    further=("CREATE INDEX IF NOT EXISTS events_by_reviewer ON events (reviewer, id)",),
)

LATEST_COLUMNS = ("sample_id", "action", "new_label", "note", "reviewer", "revision", "given_label", "at")

_STANDING = "e.action <> 'undo' AND NOT EXISTS (SELECT 1 FROM events u WHERE u.undoes = e.id)"
_LATEST = f"""
SELECT e.sample_id, e.action, e.new_label, e.note, e.reviewer, e.given_label, e.at,
       (SELECT MAX(revision) FROM events r WHERE r.sample_id = e.sample_id) AS revision
FROM events e
JOIN (SELECT MAX(e.id) AS id FROM events e WHERE {_STANDING} GROUP BY e.sample_id) newest ON newest.id = e.id
ORDER BY e.sample_id
"""


class Decisions:
    """The review log at ``path`` (created with the first decision).

    Threads and processes on one machine may share a file; open it anew after a fork. Raises ``InputError``
    when ``path`` holds something else than a review log.
    """

    def __init__(self, path: Path) -> None:
        self._log = Log(path, _SCHEMA)

    @property
    def path(self) -> Path:
        return self._log.path

    def record(
        self,
        sample_id: str,
        action: Action,
        *,
        new_label: str | None = None,
        note: str = "",
        reviewer: str,
        expected_revision: int,
        given_label: str,
        token: str | None = None,
    ) -> int:
        """Append one decision and return the sample's new revision; it is on the disk when this returns.

        Raises :class:`Conflict` when the sample has moved on from ``expected_revision``.
        """
        decision = Decision(
            sample_id, action, reviewer, expected_revision, given_label, new_label, note, token or uuid.uuid4().hex
        )
        with self._log.writing() as connection:
            return _append(connection, decision)

    def record_all(self, decisions: Sequence[Decision]) -> list[Conflict]:
        """Append many decisions in one transaction; those in conflict are left out and returned."""
        conflicts = []
        with self._log.writing() as connection:
            for decision in decisions:
                try:
                    _append(connection, decision)
                except Conflict as conflict:
                    conflicts.append(conflict)
        return conflicts

    def undo(self, reviewer: str, *, token: str | None = None) -> str | None:
        """Withdraw the reviewer's newest standing decision and return its sample id, ``None`` if there is none.

        Appended as an event of its own; calling again reaches further back. What stood before it stands again.
        Decisions carried over from another run stay: that run's labels already follow them.
        """
        token = token or uuid.uuid4().hex
        with self._log.writing() as connection:
            seen = connection.execute("SELECT sample_id FROM events WHERE token = ?", (token,)).fetchone()
            if seen:
                return str(seen["sample_id"])
            row = connection.execute(
                f"SELECT e.* FROM events e WHERE e.reviewer = ? AND {_STANDING} "
                "AND e.id NOT IN (SELECT event FROM carried) ORDER BY e.id DESC LIMIT 1",
                (reviewer.strip(),),
            ).fetchone()
            if row is None:
                return None
            _withdraw(connection, row, token)
            return str(row["sample_id"])

    def withdraw(self, reviewer: str, tokens: Sequence[str]) -> int:
        """Undo the reviewer's standing decisions made with ``tokens`` (one bulk decision); returns how many."""
        withdrawn = 0
        with self._log.writing() as connection:
            for token in reversed(tokens):
                row = connection.execute(
                    f"SELECT e.* FROM events e WHERE e.token = ? AND e.reviewer = ? AND {_STANDING}",
                    (token, reviewer.strip()),
                ).fetchone()
                if row is not None:
                    _withdraw(connection, row, uuid.uuid4().hex)
                    withdrawn += 1
        return withdrawn

    def standing(self) -> pd.DataFrame:
        """Every decision that has not been withdrawn, oldest first: ``sample_id, action, new_label, reviewer``."""
        columns = ["sample_id", "action", "new_label", "reviewer"]
        rows = self._log.read(f"SELECT {', '.join(columns)} FROM events e WHERE {_STANDING} ORDER BY id")
        return pd.DataFrame([tuple(row) for row in rows], columns=columns)

    def history(self, sample_id: str) -> list[dict[str, Any]]:
        """Every event about one sample, oldest first; a withdrawn decision has ``withdrawn=True``.

        ``carried_from`` names the run in which it was made, where that is another one.
        """
        rows = self._log.read(
            "SELECT e.*, EXISTS (SELECT 1 FROM events u WHERE u.undoes = e.id) AS withdrawn, c.run AS carried_from "
            "FROM events e LEFT JOIN carried c ON c.event = e.id WHERE e.sample_id = ? ORDER BY e.id",
            (sample_id,),
        )
        return [{**dict(row), "withdrawn": bool(row["withdrawn"])} for row in rows]

    def revisions(self) -> dict[str, int]:
        """Sample id → revision, for the samples with any event; the others are at 0."""
        rows = self._log.read("SELECT sample_id, MAX(revision) AS revision FROM events GROUP BY sample_id")
        return {row["sample_id"]: row["revision"] for row in rows}

    def latest(self) -> pd.DataFrame:
        """The standing decision of each decided sample, sorted by sample id (columns: ``LATEST_COLUMNS``)."""
        rows = [tuple(row[column] for column in LATEST_COLUMNS) for row in self._log.read(_LATEST)]
        frame = pd.DataFrame(rows, columns=list(LATEST_COLUMNS))
        return frame.astype(dict.fromkeys(LATEST_COLUMNS, "str") | {"revision": "int64"})

    def counts(self) -> dict[str, int]:
        """Standing decisions by action, zeros included."""
        found = self.latest()["action"].value_counts()
        return {action: int(found.get(action, 0)) for action in ACTIONS}

    def digest(self) -> str:
        """Hash of what stands now; see :func:`digest`."""
        return digest(self.latest())

    def version(self) -> int:
        """Grows with every event: a cheap key for caches of anything derived from the log."""
        rows = self._log.read("SELECT COALESCE(MAX(id), 0) AS id FROM events")
        return int(rows[0]["id"]) if rows else 0

    def carry_to(self, path: Path, run: str) -> None:
        """Copy the log, as it stands at one moment, into a new one at ``path``, every event marked as ``run``'s.

        Reviewers, times, notes and revisions are kept; what ``run`` itself was handed keeps the name it came with.
        """
        with replacing(path) as temporary:
            copy = sqlite3.connect(temporary, isolation_level=None)
            try:
                self._log.copy_to(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                copy.execute("INSERT OR IGNORE INTO carried (event, run) SELECT id, ? FROM events", (run,))
            finally:
                copy.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._log.close()


def digest(latest: pd.DataFrame) -> str:
    """SHA-256 of what stands: sample, action, labels. Independent of order, time, reviewer and notes."""
    rows = sorted(
        [str(row.sample_id), str(row.action), row.new_label if row.action == "relabel" else None, str(row.given_label)]
        for row in latest.itertuples()
    )
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _append(connection: sqlite3.Connection, decision: Decision) -> int:
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
        connection,
        sample_id=decision.sample_id,
        action=decision.action,
        new_label=decision.new_label,
        note=decision.note,
        reviewer=decision.reviewer.strip(),
        revision=revision + 1,
        given_label=decision.given_label,
        token=decision.token,
    )
    return revision + 1


def _withdraw(connection: sqlite3.Connection, decision: sqlite3.Row, token: str) -> None:
    """Append the withdrawal of a stored decision."""
    _insert(
        connection,
        **{name: decision[name] for name in ("sample_id", "reviewer", "given_label")},
        action="undo",
        note="",
        revision=_revision(connection, decision["sample_id"]) + 1,
        token=token,
        undoes=decision["id"],
    )


def _revision(connection: sqlite3.Connection, sample_id: str) -> int:
    row = connection.execute("SELECT MAX(revision) FROM events WHERE sample_id = ?", (sample_id,)).fetchone()
    return int(row[0] or 0)


def _insert(connection: sqlite3.Connection, **event: Any) -> None:
    event["at"] = now()
    names = ", ".join(event)
    marks = ", ".join("?" * len(event))
    connection.execute(f"INSERT INTO events ({names}) VALUES ({marks})", tuple(event.values()))
