"""Files as every source reads them: which lie below a folder, the bytes of one, and many of them at a time."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress

MAX_FILE_BYTES = 512 * 2**20
#: Reading waits for the disk and hashing lets go of the interpreter lock, so more threads than cores pay.
READING_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class UnreadableMedia(InputError):
    """One sample cannot be used; the message is the reason, in plain words and without the sample's name."""


def content_key(payload: bytes) -> str:
    """Identity of a sample's bytes (32 hexadecimal digits): equal bytes share their features."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def resolved(path: str | Path) -> Path:
    """``path`` with ``~`` and links followed; it need not exist. Raises ``InputError`` for what no file can be."""
    try:
        place = Path(path).expanduser().resolve()
        place.stat()
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{str(path)[:200]!r} cannot be opened: {getattr(error, 'strerror', None) or error}"
        ) from error
    return place


def inside(root: str, media: str) -> Path:
    """``root / media`` with links followed; raises ``UnreadableMedia`` when that lies outside ``root``."""
    folder = os.path.realpath(root)
    try:
        path = os.path.realpath(os.path.join(folder, media))
    except ValueError as error:  # a NUL, or half a surrogate pair
        raise UnreadableMedia("has a name that no file can have") from error
    if os.path.commonpath((folder, path)) != folder:
        raise UnreadableMedia("leads out of the dataset's folder, so it is not opened")
    return Path(path)


def read_file(source: dict[str, Any], media: str, most: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of the file ``media`` (relative POSIX path) under ``source["root"]``.

    Raises ``UnreadableMedia`` for what is missing, outside the folder, no plain file (a pipe would block for ever) or
    over ``most`` bytes.
    """
    path = inside(source["root"], media)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableMedia("not a plain file")
        if status.st_size > most:
            raise UnreadableMedia(f"too large: {status.st_size / 2**20:.0f} MB, the limit is {most >> 20}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableMedia("there is no such file, or it is a broken link") from error
    except OSError as error:
        raise UnreadableMedia(f"cannot be read: {error.strerror or error}") from error


def files_below(root: Path, skipped: list[tuple[str, str]]) -> Iterator[str]:
    """Relative POSIX paths of the files below ``root``, in no order; links to folders are not followed.

    Hidden files and folders are ignored. What cannot be listed or named goes to ``skipped`` as ``(item, reason)``.
    """

    def unreadable(error: OSError) -> None:
        skipped.append((shown_name(os.path.relpath(error.filename, root)), f"folder cannot be read: {error.strerror}"))

    for folder, folders, files in os.walk(root, onerror=unreadable):
        prefix = os.path.relpath(folder, root)
        below = "" if prefix == "." else prefix.replace(os.sep, "/") + "/"
        folders[:] = [name for name in folders if not name.startswith(".")]
        skipped.extend(
            (shown_name(below + name), "link to a folder; links to folders are not followed")
            for name in folders
            if os.path.islink(os.path.join(folder, name))
        )
        for name in files:
            if name.startswith("."):
                continue
            if shown_name(below + name) != below + name:
                skipped.append((shown_name(below + name), "its name is not valid UTF-8; rename it"))
            else:
                yield below + name


def shown_name(path: str) -> str:
    """``path`` as text that can be stored: bytes that are no UTF-8 are written as ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def encodable(text: str) -> bool:
    """False when ``text`` holds half a surrogate pair, as undecodable bytes and broken JSON escapes leave them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int) -> Generator[Result]:
    """Yield ``work(item)`` for each item, in order, from threads; at most ``ahead`` results wait or are being made.

    ``Executor.map`` would start everything at once and hold every result that is not yet asked for. When the consumer
    stops early, what has not been started is dropped.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        pending: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(remaining, ahead))
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(work, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_each(
    read: Callable[[Item], Result], items: Sequence[Item], progress: Progress
) -> Iterator[tuple[Item, Result | UnreadableMedia]]:
    """Each item with ``read(item)``, or with the reason why it cannot be used; stage "scan", counted in items."""

    def attempt(item: Item) -> Result | UnreadableMedia:
        try:
            return read(item)
        except UnreadableMedia as reason:
            return reason

    progress("scan", 0, len(items))
    results = in_order(attempt, items, threads=READING_THREADS, ahead=8 * READING_THREADS)
    for done, (item, result) in enumerate(zip(items, results, strict=True), start=1):
        yield item, result
        if done % 100 == 0 or done == len(items):
            progress("scan", done, len(items))
