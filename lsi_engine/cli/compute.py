"""``lsi compute …``: score a dataset and store the result as a run."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from pydantic import ValidationError
from rich.table import Table

from lsi_engine.cli.console import Bars, Json, notes, out, print_json, said_seconds
from lsi_engine.cli.corruptions import asked_for, show_sweep
from lsi_engine.errors import InputError

if TYPE_CHECKING:
    from lsi_engine.runs.store import RunConfig

app = typer.Typer(no_args_is_help=True, help="Score a dataset and store the result as a run.")


#: Where `--help` puts the options of the methods that train.
TRAINING: dict[str, Any] = {"rich_help_panel": "Method and training"}


EstimateOnly = Annotated[
    bool,
    typer.Option("--estimate", help="Say what it would take, by method, and compute nothing; --json for a program."),
]
#: Collects configurations instead of carrying them out; see :func:`plan`.
_planned: ContextVar[list[RunConfig] | None] = ContextVar("_planned", default=None)


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


Backbone = Annotated[
    str, typer.Option(help="torchvision model whose frozen features are scored, or 'pixels' for tiny images.")
]
Weights = Annotated[
    str, typer.Option(help="'default' (torchvision's download) or a local .safetensors or state-dict file.")
]
ImageSize = Annotated[int | None, typer.Option(help="Edge in pixels that images are resized to.")]


@app.command("digits")
@takes_settings
def compute_digits(
    settings: Settings,
    backbone: Annotated[
        str | None, typer.Option(help="As for images; without it, the 64 raw pixels are the features.")
    ] = None,
    weights: Weights = "default",
    image_size: ImageSize = None,
) -> None:
    """Score the 1 797 handwritten digits that come with scikit-learn."""
    extractor = None if backbone is None else extractor_settings(backbone, weights, image_size)
    compute_source({"kind": "digits"}, extractor, "digits", settings)


@app.command("images")
@takes_settings
def compute_images(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images.")],
    settings: Settings,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
    label_pattern: Annotated[
        str | None, typer.Option(help="Regular expression on the file name; its first group is the label.")
    ] = None,
    label_default: Annotated[str | None, typer.Option(help="Label where the pattern does not match.")] = None,
    group_pattern: Annotated[
        str | None, typer.Option(help="Regular expression on the file name; its first group is the group (patient).")
    ] = None,
    labels_csv: Annotated[
        Path | None, typer.Option(help="CSV of path,label[,split,group] instead of folder names.")
    ] = None,
) -> None:
    """Score a folder of images; the label is the folder's name, a pattern in the file name, or a CSV's."""
    given = {
        "label_pattern": label_pattern,
        "label_default": label_default,
        "group_pattern": group_pattern,
        "labels_csv": str(labels_csv.resolve()) if labels_csv else None,
    }
    source = {"kind": "image_folder", "root": str(folder.resolve())}
    source |= {key: value for key, value in given.items() if value is not None}
    compute_source(source, extractor_settings(backbone, weights, image_size), folder.resolve().name, settings)


@app.command("features")
@takes_settings
def compute_features(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help=".npz with features and labels, .npy with X.labels.npy beside it, or .parquet."
        ),
    ],
    settings: Settings,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures to look at: row i has the i-th of DIR (images, or CIFAR batches); or, with image_path in "
            "FILE, where those paths begin.",
        ),
    ] = None,
) -> None:
    """Score features that you have already computed; with pictures, if you have them, to look at."""
    source = {"kind": "feature_file", "path": str(file.resolve())}
    source |= {} if images is None else {"images": str(images.resolve())}
    compute_source(source, None, file.stem, settings)


def extractor_settings(backbone: str, weights: str, image_size: int | None) -> dict[str, Any]:
    size = {} if image_size is None else {"image_size": image_size}
    if backbone == "pixels":
        return {"kind": "pixels", **size}
    local = weights if weights == "default" else str(Path(weights).resolve())
    return {"kind": "torchvision", "backbone": backbone, "weights": local, **size}


def compute_source(
    source: dict[str, Any], extractor: dict[str, Any] | None, default_name: str, settings: Settings
) -> None:
    from lsi_engine.runs.store import RunConfig

    config = RunConfig(
        name=settings.name or plain(default_name),
        source=source,
        extractor=extractor,
        feature_scaling=settings.feature_scaling.value,
        weight_decay=settings.weight_decay,
        hessian=settings.hessian.value,
        prior_precision=prior_precision(settings.prior_precision),
        method=settings.method.value,
        probe=settings.hidden or "linear",
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        epochs=settings.epochs,
        seeds=settings.seeds,
        score_epochs=_whole_numbers("--score-epochs", settings.score_epochs, ","),
        left_out=chosen_rows(settings.rows),
        groups=settings.groups.value,
        device=settings.device,
    )
    variants = asked_for(settings.flip_labels, settings.seed, settings.corrupt or [], settings.sweep)
    for ending, steps in variants:
        variant = config.model_copy(update={"name": config.name + ending, "corruption": steps})
        if settings.estimate:
            return show_estimate(variant, len(variants), settings.as_json)
        carry_out(variant)
    if settings.sweep is not None and _planned.get() is None:
        show_sweep(config.name + ending)


def plan(arguments: Sequence[str]) -> list[RunConfig]:
    """The runs that ``lsi compute`` with these arguments would carry out; nothing is read or computed.

    Raises ``InputError`` for arguments that the command line would refuse.
    """
    collected: list[RunConfig] = []
    token = _planned.set(collected)
    try:
        typer.main.get_command(app)(list(arguments), standalone_mode=False)
    except typer.BadParameter as error:
        raise InputError(error.format_message()) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from error
    finally:
        _planned.reset(token)
    return collected


def show_estimate(config: RunConfig, runs: int, as_json: bool) -> None:
    """What ``config`` would take, each method a line; of a sweep, what each of its runs would."""
    from lsi_engine.runs.estimate import estimate
    from lsi_engine.runs.store import RunStore

    found = estimate(config, RunStore())
    if as_json:
        print_json({"runs": runs, **found.to_dict()})
        return
    known = {"samples": found.sizes.samples, "features": found.sizes.dimension, "classes": found.sizes.classes}
    listed = ", ".join(f"{value:,} {name}" if value else f"{name} unknown" for name, value in known.items())
    out.print(f"{listed} ({found.sizes.said})" + (f"; each of {runs} runs:" if runs > 1 else ""), markup=False)
    said = "unknown" if found.features.seconds is None else said_seconds(found.features.seconds)
    out.print(f"features   {said} ({found.features.said})", markup=False)
    if not found.costs:
        notes.print("how long each method takes cannot be said before the data are read")
        return
    table = Table("method", "about", "memory", "", box=None)
    for name, each in found.costs.items():
        marked = f"{name} ←" if name == found.chosen else name
        if each.refusal:
            table.add_row(marked, "–", "", each.refusal.replace("[", r"\["))
        else:
            memory = f"{each.needed / 2**30:.1f} of {each.free / 2**30:.1f} GiB free"
            table.add_row(marked, said_seconds(each.seconds), memory, "")
    out.print(table)


def carry_out(config: RunConfig) -> None:
    """Compute the run, with bars, and say what came out."""
    if (planned := _planned.get()) is not None:
        planned.append(config)
        return
    from lsi_engine.runs.pipeline import compute
    from lsi_engine.runs.store import RunStore

    with Bars() as progress:
        run, computed = compute(config, RunStore(), progress)
    facts = run.provenance
    if not computed:
        out.print(f"run [bold]{run.name}[/] is complete since {facts['created']}; nothing to do")
        return
    timings = facts["timings"]
    out.print(
        f"run [bold]{run.name}[/]: {facts['samples']:,} samples, {len(facts['classes'])} classes, "
        f"{sum(timings.values()):.1f} s ({', '.join(f'{stage} {spent:.1f}' for stage, spent in timings.items())}), "
        f"peak memory {facts['peak_memory_bytes'] / 2**30:.1f} GiB"
    )
    agreement = facts["engine"].get("seed_spearman")
    if agreement:
        out.print(f"seed-to-seed Spearman {agreement['mean']:.3f} (lowest {agreement['lowest']:.3f})")
    if facts["skipped"]:
        out.print(f"{facts['skipped']:,} item(s) could not be used: `lsi show {run.name} --skipped` lists them")
    for warning in facts["warnings"]:
        notes.print(f"warning: {warning}", markup=False)


def prior_precision(text: str) -> Any:
    if text == "weight_decay":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--prior-precision {text!r}: give a number or 'weight_decay'") from None


def _whole_numbers(option: str, text: str, separator: str) -> list[int]:
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
    ends = _whole_numbers("--rows", text, ":")
    if len(ends) != 2 or not 0 <= ends[0] < ends[1]:
        raise InputError(f"--rows {text!r}: give the first row and the one after the last, such as 0:50")
    return ends[0], ends[1]


def plain(text: str) -> str:
    """``text`` as the name of a run."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:80] or "run"
