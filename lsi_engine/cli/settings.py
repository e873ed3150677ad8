"""The options that every ``lsi compute …`` takes, and what their texts mean."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import typer

from lsi_engine.cli.console import Json
from lsi_engine.errors import InputError

#: Where `--help` puts the options of the methods that train.
TRAINING: dict[str, Any] = {"rich_help_panel": "Method and training"}

EstimateOnly = Annotated[
    bool,
    typer.Option("--estimate", help="Say what it would take, by method, and compute nothing; --json for a program."),
]


class Hessian(StrEnum):
    diag = "diag"
    kron = "kron"
    full = "full"
    auto = "auto"


class Method(StrEnum):
    closed_form = "closed_form"
    trajectory = "trajectory"
    retrain = "retrain"


class Groups(StrEnum):
    none = "none"
    group = "group"
    near_duplicates = "near_duplicates"


class Scaling(StrEnum):
    none = "none"
    standardize = "standardize"


@dataclass(frozen=True)
class Settings:
    """The options that every source takes."""

    name: Annotated[str | None, typer.Option(help="Name of the run; made from the source when not given.")] = None
    hessian: Annotated[Hessian, typer.Option(help="Structure of the posterior's precision.")] = Hessian.diag
    weight_decay: Annotated[float, typer.Option(help="wd in mean cross-entropy + wd/2·‖θ‖².")] = 0.01
    feature_scaling: Annotated[
        Scaling, typer.Option(help="How features are scaled for the probe. Changes LSI; recorded with the run.")
    ] = Scaling.standardize
    prior_precision: Annotated[
        str, typer.Option(help="δ of the posterior: 'weight_decay' (N·wd, what was trained) or a number.")
    ] = "weight_decay"
    groups: Annotated[
        Groups, typer.Option(help="Also leave out whole groups (patients, sources), or near-duplicates.")
    ] = Groups.none
    method: Annotated[
        Method, typer.Option(help="Closed form at the optimum, or probes trained as in the paper.", **TRAINING)
    ] = Method.closed_form
    hidden: Annotated[
        int, typer.Option(help="Width of a hidden ReLU layer (retrain only); 0 for the linear probe.", **TRAINING)
    ] = 0
    learning_rate: Annotated[float, typer.Option(help="Of trajectory and retrain.", **TRAINING)] = 0.04
    momentum: Annotated[float, typer.Option(help="Nesterov's.", **TRAINING)] = 0.9
    epochs: Annotated[int, typer.Option(help="Full-batch steps.", **TRAINING)] = 1000
    seeds: Annotated[
        int, typer.Option(help="Trainings from different initial weights; their agreement is reported.", **TRAINING)
    ] = 1
    score_epochs: Annotated[
        str, typer.Option(metavar="10,100,…", help="Epochs at which retrain also takes LSI.", **TRAINING)
    ] = ""
    rows: Annotated[
        str,
        typer.Option(
            metavar="FIRST:END|NUMBER|SHARE",
            help="Leave out these rows only, END not included; or so many, or such a share (0.1), drawn at random.",
            **TRAINING,
        ),
    ] = ""
    device: Annotated[str | None, typer.Option(help="torch device for the engine, such as cuda.")] = None
    flip_labels: Annotated[
        float, typer.Option(help="Share of the labels to flip on purpose, to see whether they are found.")
    ] = 0.0
    seed: Annotated[int, typer.Option(help="Seed of the flips.")] = 0
    corrupt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:key=value,…", help="Damage on purpose, again for more; `lsi corruptions` lists the kinds."
        ),
    ] = None
    sweep: Annotated[
        str | None,
        typer.Option(metavar="key=value,…", help="One run a value of this setting of --corrupt: NAME-sigma0.5, …"),
    ] = None
    estimate: EstimateOnly = False
    as_json: Json = False


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Let ``command(…, settings)`` be called with the options of :class:`Settings` behind its own."""
    hints = get_type_hints(command, include_extras=True)
    shared = get_type_hints(Settings, include_extras=True)
    own = [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(Settings, name), annotation=hint)
        for name, hint in shared.items()
    ]

    @functools.wraps(command)
    def called(**values: Any) -> None:
        command(
            **{k: v for k, v in values.items() if k not in shared}, settings=Settings(**{k: values[k] for k in shared})
        )

    parameters = [p for p in own if p.name != "settings"] + options
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    del called.__wrapped__
    return called


def prior_precision(text: str) -> Any:
    if text == "weight_decay":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--prior-precision {text!r}: give a number or 'weight_decay'") from None


def whole_numbers(option: str, text: str, separator: str) -> list[int]:
    try:
        return [int(part) for part in text.split(separator)] if text else []
    except ValueError:
        raise InputError(f"{option} {text!r}: give whole numbers with {separator!r} between them") from None


def chosen_rows(text: str) -> tuple[int, int] | int | float | None:
    if not text:
        return None
    if ":" not in text:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if 0 < number < 1:
            return number
        if number >= 1 and number == int(number):
            return int(number)
        raise InputError(f"--rows {text!r}: give FIRST:END, how many rows, or their share between 0 and 1")
    ends = whole_numbers("--rows", text, ":")
    if len(ends) != 2 or not 0 <= ends[0] < ends[1]:
        raise InputError(f"--rows {text!r}: give the first row and the one after the last, such as 0:50")
    return ends[0], ends[1]
