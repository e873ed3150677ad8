"""Corruptions as people type them: ``flip_labels:rate=0.1,classes=cat|dog``, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption import CORRUPTIONS
from lsi_engine.samples.setting import Setting


def parse(text: str) -> dict[str, Any]:
    """The step ``{"kind": …, **settings}`` that ``text`` describes.

    ``KIND:key=value,key=value``; several values of one key are separated by ``|``. A JSON object says the same and may
    hold commas and bars within its values. Paths become absolute. Raises ``InputError`` saying what is wrong.
    """
    if text.lstrip().startswith("{"):
        try:
            step = json.loads(text)
        except ValueError as error:
            raise InputError(f"--corrupt {text!r} is no JSON object: {error}") from error
        kind = step.pop("kind", None)
        settings = {str(name): value for name, value in step.items()}
    else:
        kind, _, rest = text.strip().partition(":")
        pairs = [part.partition("=") for part in rest.split(",") if part.strip()]
        if bare := [name for name, equals, _ in pairs if not equals]:
            raise InputError(f"--corrupt {text!r}: {bare[0]!r} has no value; write {kind}:key=value,key=value")
        settings = {name.strip(): value.strip() for name, _, value in pairs}
    if kind not in CORRUPTIONS:
        raise InputError(f"there is no corruption {kind!r}; `lsi corruptions` lists them")
    known = {setting.name: setting for setting in CORRUPTIONS[kind].settings}
    for name in settings:
        if name not in known:
            raise InputError(f"corruption {kind!r} has no setting {name!r}; it has {', '.join(known)}")
    return {"kind": kind, **{name: _value(known[name], value) for name, value in settings.items()}}


def _value(setting: Setting, value: Any) -> Any:
    if setting.form == "path" and isinstance(value, str):
        return str(Path(value).expanduser().resolve())
    if not isinstance(value, str):
        return value
    if setting.form in ("share", "number", "level", "seed"):
        whole = setting.form in ("level", "seed")
        try:
            return int(value) if whole else float(value)
        except ValueError:
            raise InputError(f"{setting.name}={value!r} is no {'whole ' if whole else ''}number") from None
    if setting.form == "classes" or "|" in value:
        return [part.strip() for part in value.split("|") if part.strip()]
    return value


def swept(steps: Sequence[Mapping[str, Any]], text: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """The variants of ``steps`` that ``text``, ``key=value,value,…``, asks for, each with the ending of its name.

    ``sigma=0,0.5`` gives ``("-sigma0", …)`` and ``("-sigma0.5", …)``: every step that has the setting takes the value.
    Raises ``InputError`` when none has it.
    """
    name, equals, rest = text.partition("=")
    name, values = name.strip(), [part.strip() for part in rest.split(",") if part.strip()]
    if not equals or not values:
        raise InputError(f"--sweep {text!r}: write key=value,value, such as sigma=0,0.5,1,2")
    having = [step for step in steps if name in {setting.name for setting in CORRUPTIONS[step["kind"]].settings}]
    if not having:
        raise InputError(f"--sweep {text!r}: no --corrupt has a setting {name!r}")
    variants = []
    for value in values:
        changed = [
            {**step, name: _value(next(s for s in CORRUPTIONS[step["kind"]].settings if s.name == name), value)}
            if step in having
            else dict(step)
            for step in steps
        ]
        variants.append((f"-{name}{value}", changed))
    return variants
