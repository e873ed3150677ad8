"""The options that every ``lsi compute …`` takes: those of a run's configuration, and a few about the run itself.

What an option is called, takes and means is read from the configuration's fields, so that an option added there is an
option here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import typer
from pydantic.fields import FieldInfo

from lsi_engine.cli.console import Json
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.scores.registry import optional
from lsi_engine.settings import METHODS, READ

EstimateOnly = Annotated[
    bool,
    typer.Option("--estimate", help="Say what it would take, by method, and compute nothing; --json for a program."),
]
#: Where `--help` puts the options of the methods that train.
TRAINING = "Method and training"


class Said(NamedTuple):
    """How a field is said on a command line where that is no plain value: as what option, type and default (the
    field's own, as text, when ``None``)."""

    name: str
    type: Any
    default: Any
    metavar: str | None = None


_SAID = {
    "weight_decay": Said("weight_decay", str, None, "NUMBER|auto"),
    "prior_precision": Said("prior_precision", str, "weight_decay"),
    "probe": Said("hidden", int, 0),
    "score_epochs": Said("score_epochs", str, "", "10,100,…"),
    "left_out": Said("rows", str, "", "FIRST:END|NUMBER|SHARE"),
    "seeds": Said("seeds", int, 1),
    "scores": Said("scores", str, "", "NAME,…|all"),
}


@dataclass(frozen=True)
class Settings:
    """What the options came to. ``scoring`` are the fields of the configuration."""

    name: str | None
    flip_labels: float
    seed: int
    corrupt: list[str]
    sweep: str | None
    estimate: bool
    as_json: bool
    scoring: dict[str, Any] = field(default_factory=dict)


def _about_the_run(
    name: Annotated[str | None, typer.Option(help="Name of the run; made from the source when not given.")] = None,
    flip_labels: Annotated[
        float, typer.Option(help="Share of the labels to flip on purpose, to see whether they are found.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the flips.")] = 0,
    corrupt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:key=value,…", help="Damage on purpose, again for more; `lsi corruptions` lists the kinds."
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="key=value,…", help="One run a value of this setting of --corrupt: NAME-sigma0.5, …"),
    ] = None,
    estimate: EstimateOnly = False,
    as_json: Json = False,
) -> None:
    """Its parameters are options; it does nothing."""


def takes_settings(
    command: Callable[..., None] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    choices: Mapping[str, Sequence[str]] | None = None,
    without: Sequence[str] = (),
) -> Any:
    """Let ``command(…, settings)`` be called with every option behind its own.

    ``defaults`` and ``choices`` of a field other than the configuration's, and options (by field or parameter) that
    this command does ``without``.
    """
    if command is None:
        return functools.partial(takes_settings, defaults=defaults, choices=choices, without=without)
    hints = get_type_hints(command, include_extras=True)
    own = [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]
    about = [p for p in _parameters(_about_the_run) if p.name not in without]
    scoring = {
        name: _parameter(name, each, (defaults or {}).get(name, each.default), (choices or {}).get(name))
        for name, each in RunConfig.options().items()
        if name not in without
    }

    @functools.wraps(command)
    def called(**values: Any) -> None:
        chosen = {name: values.pop(parameter.name) for name, parameter in scoring.items()}
        missing = {p.name: p.default for p in _parameters(_about_the_run)}
        facts = missing | {p.name: values.pop(p.name) for p in about}
        facts["corrupt"] = facts["corrupt"] or []
        read = {name: _read(name, value) for name, value in chosen.items()}
        command(**values, settings=Settings(**facts, scoring=read))

    parameters = [p for p in own if p.name != "settings"] + [about[0], *scoring.values(), *about[1:]]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    del called.__wrapped__
    return called


def _read(name: str, value: Any) -> Any:
    if name not in READ:
        return value
    try:
        return READ[name](value)
    except InputError as error:
        option = _SAID[name].name if name in _SAID else name
        raise InputError(f"--{option.replace('_', '-')} {error}") from None


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(function).parameters.values()
    ]


def _parameter(name: str, field: FieldInfo, default: Any, choices: Sequence[str] | None) -> inspect.Parameter:
    """One field of the configuration as an option."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    panel = None if extra["methods"] == list(METHODS) and name not in ("method", "left_out") else TRAINING
    said = _SAID.get(name)
    kind = said.type if said else Literal[tuple(choices)] if choices else field.annotation
    help = f"{field.description} Known: {', '.join(optional())}." if name == "scores" else field.description
    given = typer.Option(help=help, rich_help_panel=panel, metavar=said.metavar if said else None)
    return inspect.Parameter(
        said.name if said else name,
        inspect.Parameter.KEYWORD_ONLY,
        default=(str(default) if said.default is None else said.default) if said else default,
        annotation=Annotated[kind, given],
    )
