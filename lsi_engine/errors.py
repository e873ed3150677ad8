"""What the engine raises and warns with. Every message names the file, row or value, and what to do."""

from __future__ import annotations


class LsiError(Exception):
    """A problem the user can mend; its text is shown as it is, without a traceback."""


class InputError(LsiError, ValueError):
    """Data or settings that cannot be scored: names the file, row or value and what to do."""


class NotConverged(LsiError):
    """The probe's fit stopped away from its optimum, so a closed form would be wrong."""


class Cancelled(LsiError):
    """The user asked for the work to stop. Not a failure: what was finished is kept."""


class LsiWarning(UserWarning):
    """Scores were computed, but something about them deserves a second look."""


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise ``InputError`` unless ``value`` is one of the ``allowed`` words."""
    if value not in allowed:
        raise InputError(f"{name} {value!r} is not one of: {', '.join(allowed)}")
