"""Who is signed in: a signed cookie with an end, and a list of those who signed out before it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

#: A working day; then the password is asked for again.
HOURS = 12
MOST_CHARACTERS = 60


@dataclass(frozen=True)
class Session:
    """``name`` is what the person called themselves at sign-in; ``until`` seconds since the epoch."""

    id: str
    name: str
    until: float


def cleaned_name(text: str) -> str:
    """``text`` as a person's name: one line, nothing invisible, at most ``MOST_CHARACTERS``."""
    visible = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(visible.split())[:MOST_CHARACTERS].strip()


class Sessions:
    """Issues and checks the cookies. The key is drawn at the start: a restart signs everybody out."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._signed = URLSafeSerializer(
            secrets.token_bytes(32), salt="lsi-session", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._ended: dict[str, float] = {}
        self._watched: dict[str, set[asyncio.Event]] = {}

    def start(self, name: str) -> str:
        """The cookie's value for a person who has just shown that they may come in."""
        return str(self._signed.dumps([secrets.token_hex(16), name, self._clock() + HOURS * 3600]))

    def of(self, cookie: str | None) -> Session | None:
        """The session behind a cookie; None for a forged, expired or signed-out one."""
        if not cookie:
            return None
        try:
            session = Session(*self._signed.loads(cookie))
        except BadData:
            return None
        return session if session.until > self._clock() and session.id not in self._ended else None

    def end(self, session: Session) -> None:
        """Sign out: the cookie is worth nothing from now on, and whoever watches the session is told."""
        now = self._clock()
        self._ended = {key: until for key, until in self._ended.items() if until > now} | {session.id: session.until}
        for event in self._watched.get(session.id, ()):
            event.set()

    def seconds_left(self, session: Session) -> float:
        return max(session.until - self._clock(), 0.0)

    @contextmanager
    def watch(self, session: Session) -> Iterator[asyncio.Event]:
        """An event that is set when the person signs out; of the running event loop."""
        event = asyncio.Event()
        self._watched.setdefault(session.id, set()).add(event)
        try:
            yield event
        finally:
            self._watched[session.id].discard(event)
            if not self._watched[session.id]:
                del self._watched[session.id]
