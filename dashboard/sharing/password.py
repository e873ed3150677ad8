"""The shared password: where it is read from, how it is held, and how guesses are slowed down."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from lsi_engine.errors import InputError

VARIABLE = "LSI_PASSWORD"
#: A shorter password could be guessed within the throttle.
FEWEST_CHARACTERS = 12
#: scrypt's cost: about 50 ms and 16 MiB a check.
_COST = {"n": 2**14, "r": 8, "p": 1}
WHAT_TO_DO = (
    f"give a password of at least {FEWEST_CHARACTERS} characters in a file that only you can read "
    f"(`umask 077; openssl rand -base64 18 > FILE`, then --password-file FILE), or in the variable {VARIABLE}"
)


@dataclass(frozen=True)
class SharedPassword:
    """Salted scrypt hash of the password; the text itself is not kept."""

    salt: bytes
    key: bytes

    @classmethod
    def of(cls, text: str) -> SharedPassword:
        """Raises ``InputError`` for fewer than ``FEWEST_CHARACTERS``."""
        if len(text) < FEWEST_CHARACTERS:
            raise InputError(f"the password has {len(text)} characters: {WHAT_TO_DO}")
        salt = secrets.token_bytes(16)
        return cls(salt, _hashed(text, salt))

    def matches(self, attempt: str) -> bool:
        """Compared in constant time; takes as long for a wrong attempt as for the right one."""
        return hmac.compare_digest(_hashed(attempt, self.salt), self.key)


def _hashed(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(text.encode("utf-8", "replace"), salt=salt, dklen=32, **_COST)


def read_password(file: Path | None, environment: MutableMapping[str, str] = os.environ) -> SharedPassword:
    """The password in ``file`` (its first line), else in the variable ``LSI_PASSWORD``, which is taken out of
    ``environment`` so that no process started later inherits it.

    Raises ``InputError``, saying what to do, when there is none, or when others may read the file.
    """
    inherited = environment.pop(VARIABLE, "")
    if file is None:
        if not inherited:
            raise InputError(f"sharing needs a sign-in: {WHAT_TO_DO}")
        return SharedPassword.of(inherited)
    try:
        with file.open(encoding="utf-8") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{file} is no plain file: {WHAT_TO_DO}")
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise InputError(f"others on this machine may read {file}: `chmod 600 {file}`, and change the password")
            return SharedPassword.of(opened.readline(4096).rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the password file {file} cannot be read: {error}") from error


class Throttle:
    """Slows guesses down: ``FREE`` wrong ones an address, then each doubles the wait, up to ``LONGEST`` seconds.

    All addresses together have ``FREE_TOGETHER`` and then wait alike, so that many addresses do not help.
    """

    FREE = 3
    FREE_TOGETHER = 60
    LONGEST = 900.0
    #: Seconds without a wrong guess after which an address starts anew.
    FORGOTTEN = 3600.0
    MOST_ADDRESSES = 10_000
    _TOGETHER = ""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}

    def admit(self, address: str) -> float:
        """Seconds to wait before the next guess; 0 admits this one and counts it as wrong until :meth:`right`.

        Counting first keeps guesses sent at the same moment from all being free.
        """
        now = self._clock()
        limits = ((self._TOGETHER, self.FREE_TOGETHER), (address, self.FREE))
        counts = []
        for key, free in limits:
            wrong, last = self._wrong.get(key, (0, now))
            wrong = 0 if now - last > self.FORGOTTEN else wrong
            wait = min(2.0 ** (wrong - free), self.LONGEST) if wrong >= free else 0.0
            if last + wait > now:
                return last + wait - now
            counts.append((key, wrong))
        for key, wrong in counts:
            self._wrong.pop(key, None)  # put last again: the oldest are forgotten first
            self._wrong[key] = (wrong + 1, now)
        while len(self._wrong) > self.MOST_ADDRESSES:
            self._wrong.pop(next(key for key in self._wrong if key != self._TOGETHER))
        return 0.0

    def right(self, address: str) -> None:
        """The admitted guess was right: neither it nor the wrong ones before it count any longer."""
        wrong, _ = self._wrong.pop(address, (0, 0.0))
        together, last = self._wrong.get(self._TOGETHER, (0, 0.0))
        self._wrong[self._TOGETHER] = (max(together - wrong, 0), last)
