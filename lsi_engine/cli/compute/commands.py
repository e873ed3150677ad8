"""``lsi compute …``: score a dataset and store the result as a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from lsi_engine.cli.compute.corruptions import asked_for, show_sweep
from lsi_engine.cli.compute.execution import carry_out, planning, show_estimate
from lsi_engine.cli.compute.settings import Settings, takes_settings
from lsi_engine.errors import InputError
from lsi_engine.features.choice import image_extractor
from lsi_engine.samples.class_names import read_class_names

if TYPE_CHECKING:
    from lsi_engine.runs.config import RunConfig

app = typer.Typer(no_args_is_help=True, help="Score a dataset and store the result as a run.")


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
    extractor = None if backbone is None else image_extractor(backbone, weights, image_size)
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
    compute_source(source, image_extractor(backbone, weights, image_size), folder.resolve().name, settings)


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
    class_names: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="What the classes 0, 1, … are called: `cat,dog`, or a text file of a name a line."
        ),
    ] = "",
) -> None:
    """Score features that you have already computed; with pictures, if you have them, to look at."""
    source: dict[str, Any] = {"kind": "feature_file", "path": str(file.resolve())}
    source |= {"class_names": read_class_names(class_names)} if class_names.strip() else {}
    source |= {} if images is None else {"images": str(images.resolve())}
    compute_source(source, None, file.stem, settings)


def compute_source(
    source: dict[str, Any], extractor: dict[str, Any] | None, default_name: str, settings: Settings
) -> None:
    from lsi_engine.runs.config import RunConfig

    name = settings.name or plain(default_name)
    config = RunConfig(name=name, source=source, extractor=extractor, **settings.scoring)
    variants = asked_for(settings.flip_labels, settings.seed, settings.corrupt, settings.sweep)
    for ending, steps in variants:
        variant = config.model_copy(update={"name": config.name + ending, "corruption": steps})
        if settings.estimate:
            return show_estimate(variant, len(variants), settings.as_json)
        computed = carry_out(variant)
    if settings.sweep is not None and computed:
        show_sweep(config.name + ending)


def plan(arguments: Sequence[str]) -> list[RunConfig]:
    """The runs that ``lsi compute`` with these arguments would carry out; nothing is read or computed.

    Raises ``InputError`` for arguments that the command line would refuse.
    """
    with planning() as collected:
        try:
            typer.main.get_command(app)(list(arguments), standalone_mode=False)
        except typer.BadParameter as error:
            raise InputError(error.format_message()) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from error
    return collected


def plain(text: str) -> str:
    """``text`` as the name of a run."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:80] or "run"
