"""One argument of a source or a corruption, as forms and listings show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["share", "number", "level", "seed", "classes", "names", "path", "file", "folder", "choice", "text"]


@dataclass(frozen=True)
class Setting:
    """What one argument is called and how it is filled in.

    Attributes
    ----------
    name
        The argument's own name.
    form
        ``share`` (0..1), ``number`` (≥ 0), ``level`` (1..5), ``seed``, ``classes`` (names of classes that there are,
        none: all), ``names`` (any), ``file``, ``folder``, ``path`` (either), ``choice`` or ``text``.
    help
        What it decides, in a few words.
    default
        What holds when it is left out; ``None`` for a required one.
    choices
        The values of a ``choice``.
    label
        What a form writes beside the field; made from the name unless it is given.
    required
        Whether there is no going without.
    """

    name: str
    form: Form
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    label: str = ""
    required: bool = False

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name.replace("_", " ").capitalize())
