"""What classes that are numbers are called."""

from __future__ import annotations

from pathlib import Path

from lsi_engine.errors import InputError


def read_class_names(given: str) -> list[str]:
    """Names of the classes 0, 1, …: with commas between them, or a text file of a name a line.

    Raises ``InputError`` for a name that is missing or taken, and for a file that cannot be read.
    """
    file = Path(given.strip()).expanduser()
    try:
        names = file.read_text(encoding="utf-8").splitlines() if file.is_file() else given.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names in {file} cannot be read: {error}") from error
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names):
        if not name or name in names[:number]:
            raise InputError(f"class names: number {number} is {name!r}; each class needs a name of its own")
    return names
