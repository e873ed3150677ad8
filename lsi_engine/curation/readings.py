"""Blinded reading: people label samples anew, in an order of their own, without seeing the given label.

One SQLite file a run, beside its review log and as append-only. A study is a fixed list of samples. Each reader meets
them twice at most (rounds 1 and 2), each time in another order and under other case ids, so that neither a colleague's
list nor the first reading helps. What is on a screen is a case id; the sample behind it is known here only.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lsi_engine.curation.log import Log, Schema, now
from lsi_engine.errors import InputError

ROUNDS = (1, 2)
ANSWER_COLUMNS = ("reader", "round", "sample_id", "label", "note", "at")

_SCHEMA = Schema(
    name="file of readings",
    version=1,
    tables={
        "studies": "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, seed INTEGER NOT NULL, "
        "secret TEXT NOT NULL, samples TEXT NOT NULL, created_by TEXT NOT NULL, at TEXT NOT NULL",
        "cases": "id TEXT PRIMARY KEY, study INTEGER NOT NULL REFERENCES studies (id), reader TEXT NOT NULL, "
        "round INTEGER NOT NULL CHECK (round IN (1, 2)), place INTEGER NOT NULL, sample_id TEXT NOT NULL, "
        "UNIQUE (study, reader, round, sample_id)",
        "answers": "id INTEGER PRIMARY KEY AUTOINCREMENT, case_id TEXT NOT NULL REFERENCES cases (id), "
        "label TEXT NOT NULL, note TEXT NOT NULL, at TEXT NOT NULL, token TEXT NOT NULL UNIQUE",
    },
    append_only=("studies", "cases", "answers"),
)


@dataclass(frozen=True)
class Study:
    """A list of samples to be read blind; ``sample_ids`` in no order that says anything."""

    id: int
    name: str
    seed: int
    sample_ids: tuple[str, ...]
    created_by: str


@dataclass(frozen=True)
class Case:
    """One sample as one reader meets it: an opaque id, and the newest answer (``None`` before the first)."""

    id: str
    sample_id: str
    label: str | None
    note: str


class Readings:
    """The readings at ``path`` (created with the first study). Threads and processes may share the file."""

    def __init__(self, path: Path) -> None:
        self._log = Log(path, _SCHEMA)

    @property
    def path(self) -> Path:
        return self._log.path

    def create(self, name: str, sample_ids: Sequence[str], *, seed: int, created_by: str) -> Study:
        """Begin a study. Raises ``InputError`` for no name, fewer than two samples, or a name that is taken."""
        name, ids = name.strip(), sorted(set(sample_ids))
        if not name or not created_by.strip():
            raise InputError("a study needs a name and someone who creates it")
        if len(ids) < 2:
            raise InputError(f"study {name!r}: at least two samples are needed, {len(ids)} given")
        with self._log.writing() as connection:
            if connection.execute("SELECT 1 FROM studies WHERE name = ?", (name,)).fetchone():
                raise InputError(f"there is a study called {name!r} already; choose another name")
            connection.execute(
                "INSERT INTO studies (name, seed, secret, samples, created_by, at) VALUES (?, ?, ?, ?, ?, ?)",
                (name, int(seed), secrets.token_hex(16), json.dumps(ids), created_by.strip(), now()),
            )
        return self.study(name)

    def studies(self) -> list[Study]:
        """All studies, newest first."""
        rows = self._log.read("SELECT * FROM studies ORDER BY id DESC")
        return [Study(r["id"], r["name"], r["seed"], tuple(json.loads(r["samples"])), r["created_by"]) for r in rows]

    def study(self, name: str) -> Study:
        """The study called ``name``; raises ``InputError`` when there is none."""
        found = [study for study in self.studies() if study.name == name]
        if not found:
            raise InputError(f"there is no study {name!r} in {self.path}")
        return found[0]

    def cases(self, study: Study, reader: str, round: int) -> list[Case]:
        """The study as ``reader`` meets it in ``round``, in their order; drawn once and then kept.

        Raises ``InputError`` for a second round before the first is finished.
        """
        reader = reader.strip()
        if not reader or round not in ROUNDS:
            raise InputError(f"a reading needs the reader's name and a round of {ROUNDS}, not {reader!r}, {round!r}")
        if round == 2 and any(case.label is None for case in self.cases(study, reader, 1)):
            raise InputError(f"{reader} has not finished the first reading of {study.name!r}")
        with self._log.writing() as connection:
            if not self._drawn(connection, study, reader, round):
                self._draw(connection, study, reader, round)
            rows = self._drawn(connection, study, reader, round)
        return [Case(row["id"], row["sample_id"], row["label"], row["note"] or "") for row in rows]

    def _drawn(self, connection: sqlite3.Connection, study: Study, reader: str, round: int) -> list[sqlite3.Row]:
        return connection.execute(
            "SELECT c.id, c.sample_id, a.label, a.note FROM cases c LEFT JOIN answers a "
            "ON a.id = (SELECT MAX(id) FROM answers WHERE case_id = c.id) "
            "WHERE c.study = ? AND c.reader = ? AND c.round = ? ORDER BY c.place",
            (study.id, reader, round),
        ).fetchall()

    def _draw(self, connection: sqlite3.Connection, study: Study, reader: str, round: int) -> None:
        secret = connection.execute("SELECT secret FROM studies WHERE id = ?", (study.id,)).fetchone()["secret"]

        def digest(text: str) -> bytes:
            key = bytes.fromhex(secret)
            return hashlib.blake2b(f"{reader}\0{round}\0{text}".encode(), key=key, digest_size=8).digest()

        # The order depends on seed, reader and round alone: a study repeated elsewhere is read in the same order.
        own = hashlib.blake2b(f"{reader}\0{round}".encode(), digest_size=8).digest()
        order = np.random.default_rng([study.seed, int.from_bytes(own)]).permutation(len(study.sample_ids))
        rows = [
            (digest(study.sample_ids[i]).hex(), study.id, reader, round, place, study.sample_ids[i])
            for place, i in enumerate(order)
        ]
        connection.executemany("INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?)", rows)

    def sample_of(self, case_id: str) -> str | None:
        """The sample behind a case id, ``None`` for an id that nobody was given."""
        rows = self._log.read("SELECT sample_id FROM cases WHERE id = ?", (case_id,))
        return str(rows[0]["sample_id"]) if rows else None

    def record(self, case_id: str, label: str, *, note: str = "", token: str) -> None:
        """Append an answer; a later one of the same case replaces it in :meth:`answers`. Repeating a token is safe.

        ``label`` is a class name or ``CANNOT_TELL``. Raises ``InputError`` for a case that nobody was given.
        """
        with self._log.writing() as connection:
            if not connection.execute("SELECT 1 FROM cases WHERE id = ?", (case_id,)).fetchone():
                raise InputError(f"there is no case {case_id!r} in {self.path}")
            connection.execute(
                "INSERT OR IGNORE INTO answers (case_id, label, note, at, token) VALUES (?, ?, ?, ?, ?)",
                (case_id, label, note, now(), token),
            )

    def answers(self, study: Study) -> pd.DataFrame:
        """The newest answer of each reader, round and sample (columns ``ANSWER_COLUMNS``)."""
        rows = self._log.read(
            "SELECT c.reader, c.round, c.sample_id, a.label, a.note, a.at FROM answers a "
            "JOIN cases c ON c.id = a.case_id WHERE c.study = ? "
            "AND a.id = (SELECT MAX(id) FROM answers WHERE case_id = c.id) "
            "ORDER BY c.reader, c.round, c.sample_id",
            (study.id,),
        )
        frame = pd.DataFrame([tuple(row) for row in rows], columns=list(ANSWER_COLUMNS))
        return frame.astype(dict.fromkeys(ANSWER_COLUMNS, "str") | {"round": "int64"})
