"""``lsi compute`` for the published image datasets and for DICOM."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lsi_engine.cli.compute.commands import Backbone, ImageSize, Weights, compute_source
from lsi_engine.cli.compute.settings import Settings, takes_settings
from lsi_engine.cli.console import Bars
from lsi_engine.features.choice import image_extractor


class Part(StrEnum):
    train = "train"
    test = "test"


class ImagenettePart(StrEnum):
    train = "train"
    val = "val"


class FilmPart(StrEnum):
    train = "train"
    val = "val"
    test = "test"


class Size(StrEnum):
    full = "full"
    px320 = "320"
    px160 = "160"


Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]", help="Where the dataset lies; <cache>/datasets when not given.", show_default=False
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch it into DIR first, unless it is there.")]


def _dataset_folder(folder: Path | None, archive: str, download: bool) -> str:
    """The absolute folder of a published dataset, fetched when asked to."""
    from lsi_engine.runs.store import cache_folder
    from lsi_engine.samples.images.archives import ARCHIVES, fetch, unpacked

    place = (folder or cache_folder() / "datasets").expanduser().resolve()
    if download:
        with Bars() as progress:
            return str(fetch(ARCHIVES[archive], place, progress=progress))
    return str(unpacked(place, archive))


def _split(split: str) -> dict[str, Any]:
    return {} if split == "train" else {"split": split}


@takes_settings
def compute_cifar10(
    settings: Settings,
    folder: Folder = None,
    split: Annotated[Part, typer.Option(help="Which images.")] = Part.train,
    download: Download = False,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
) -> None:
    """Score CIFAR-10 from its original python batches, in their original order."""
    source = {"kind": "cifar10", "root": _dataset_folder(folder, "cifar10", download), **_split(split.value)}
    name = "cifar10" if split is Part.train else "cifar10-test"
    compute_source(source, image_extractor(backbone, weights, image_size), name, settings)


@takes_settings
def compute_cifar100(
    settings: Settings,
    folder: Folder = None,
    split: Annotated[Part, typer.Option(help="Which images.")] = Part.train,
    download: Download = False,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
) -> None:
    """Score CIFAR-100 (fine labels) from its original python files, in their original order."""
    source = {"kind": "cifar100", "root": _dataset_folder(folder, "cifar100", download), **_split(split.value)}
    name = "cifar100" if split is Part.train else "cifar100-test"
    compute_source(source, image_extractor(backbone, weights, image_size), name, settings)


@takes_settings
def compute_imagenette(
    settings: Settings,
    folder: Folder = None,
    size: Annotated[Size, typer.Option(help="Which of the three published sizes to fetch or find.")] = Size.px160,
    split: Annotated[ImagenettePart, typer.Option(help="Which images.")] = ImagenettePart.train,
    download: Download = False,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
) -> None:
    """Score Imagenette, Imagewoof or any DIR/train/WORDNET-ID; known ids are shown as class names."""
    root = _dataset_folder(folder, f"imagenette-{size.value}", download)
    source = {"kind": "wordnet_folder", "root": root, "split": split.value}
    compute_source(source, image_extractor(backbone, weights, image_size), Path(root).name, settings)


@takes_settings
def compute_imagewoof(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The unpacked imagewoof2 folder.")],
    settings: Settings,
    split: Annotated[ImagenettePart, typer.Option(help="Which images.")] = ImagenettePart.train,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
) -> None:
    """Score Imagewoof from its folder, the classes under their breeds' names."""
    source = {"kind": "wordnet_folder", "root": str(folder.resolve()), "split": split.value}
    compute_source(source, image_extractor(backbone, weights, image_size), "imagewoof", settings)


@takes_settings
def compute_pneumonia(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The published chest_xray folder.")],
    settings: Settings,
    split: Annotated[FilmPart, typer.Option(help="Which films; never mixed.")] = FilmPart.train,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
) -> None:
    """Score the pediatric chest x-rays as published: normal, bacterial, viral, grouped by patient."""
    source = {"kind": "pneumonia", "root": str(folder.resolve()), "split": split.value}
    name = "pneumonia" if split is FilmPart.train else f"pneumonia-{split.value}"
    compute_source(source, image_extractor(backbone, weights, image_size), name, settings)


@takes_settings
def compute_dicom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of DICOM files.")],
    settings: Settings,
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
    labels_csv: Annotated[
        Path | None, typer.Option(help="CSV of path,label[,split,group] instead of folder names.")
    ] = None,
    label_field: Annotated[
        str | None, typer.Option(help="Header field that holds the label, such as ViewPosition.")
    ] = None,
) -> None:
    """Score a folder of DICOM files; the label is the folder's name, a CSV's, or a header field's."""
    given = {"labels_csv": str(labels_csv.resolve()) if labels_csv else None, "label_field": label_field}
    source = {"kind": "dicom_folder", "root": str(folder.resolve())}
    source |= {key: value for key, value in given.items() if value is not None}
    compute_source(source, image_extractor(backbone, weights, image_size), folder.resolve().name, settings)


COMMANDS = {
    "cifar10": compute_cifar10,
    "cifar100": compute_cifar100,
    "imagenette": compute_imagenette,
    "imagewoof": compute_imagewoof,
    "pneumonia": compute_pneumonia,
    "dicom": compute_dicom,
}
