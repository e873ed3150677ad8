"""The files below a folder, as every source that reads folders sees them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lsi_engine.errors import InputError


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
