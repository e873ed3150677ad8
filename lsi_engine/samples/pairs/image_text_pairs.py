"""Images and their captions: a file of rows, or COCO's captions as published, beside a folder of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from lsi_engine.errors import InputError, one_of
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, content_key, read_each, read_file, resolved
from lsi_engine.samples.images.decoding import identify
from lsi_engine.samples.sample_set import SampleSet, description, opaque_id, skipped_table
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import IMAGE_FILES, Source
from lsi_engine.samples.tables.columns import choose_column
from lsi_engine.samples.tables.rows import read_rows
from lsi_engine.samples.text.text_folder import unusable

FILE_COLUMNS = ("file", "file_name", "filename", "image", "image_path", "path", "img")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence", "description", "raw")
#: The one class of pairs that have no label.
UNLABELLED = "all pairs"
#: Bytes of a COCO annotation file; the published ones have up to 450 MB.
MAX_JSON = 2 * 2**30


class _Caption(NamedTuple):
    """One caption: where it stands, the image's path below the folder, the text, its label."""

    place: str
    file: str
    text: str
    label: str = UNLABELLED


def image_text_pairs(
    path: str | Path,
    root: str | Path,
    *,
    captions: Literal["all", "first"] = "all",
    file_column: str | None = None,
    caption_column: str | None = None,
    instances: str | Path | None = None,
    categories: Sequence[str] | None = None,
    progress: Progress = silent,
) -> SampleSet:
    """Pairs of an image and a caption, in the file's own order.

    Parameters
    ----------
    path
        CSV, TSV, JSONL or Parquet with a column of file names and one of captions, or COCO's ``captions_*.json``.
    root
        Folder that the file names are relative to. Nothing outside it is opened.
    captions
        An image with several captions gives a pair for each (``"all"``) or only its first (``"first"``).
    file_column, caption_column
        Columns of a file of rows; when not given, the only one with a usual name.
    instances
        COCO's ``instances_*.json`` of the same images: each pair is labelled with the category of which the image shows
        the most area, among ``categories`` where these are given.
    categories
        Keep only images that show one of these (the paper: banana, elephant); needs ``instances``.
    progress
        Stage "scan", counted in images.

    Returns
    -------
    Samples of modality "pairs": ``media`` is the image's relative path, ``text`` the caption, ``content`` the hash of
    both, ``group`` the image's path. Without instances every label is ``UNLABELLED``. Ids are digests of the image's
    path and the caption's number. ``skipped`` lists captions that are empty and images that are missing, no image or
    outside the folder, with the reason.

    Raises
    ------
    InputError
        Nothing there, no such column or category, or fewer than three usable pairs.
    """
    file, folder = resolved(path), resolved(root)
    one_of("captions", captions, ("all", "first"))
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of images")
    if categories and instances is None:
        raise InputError("categories need instances: the instances_*.json that says what each image shows")
    skipped: list[tuple[str, str]] = []
    if file.suffix.lower() == ".json" and "annotations" in (stated := _json(file)):
        found = _coco(file, stated, instances, categories, skipped)
    elif instances is not None:
        raise InputError(f"{file} is no COCO captions file, so instances cannot be matched to it by image id")
    else:
        rows = read_rows(file)
        skipped += rows.skipped
        files = rows.column(choose_column(rows, file_column, FILE_COLUMNS, "file", file))
        texts = rows.column(choose_column(rows, caption_column, CAPTION_COLUMNS, "caption", file))
        cells = zip(rows.places, files, texts, strict=True)
        found = [_Caption(place, str(name or "").strip(), str(text or "").strip()) for place, name, text in cells]

    kept: list[tuple[_Caption, int]] = []
    seen: dict[str, int] = {}
    for caption in found:
        number = seen.get(caption.file, 0)
        if not caption.file:
            skipped.append((caption.place, "names no image file"))
        elif reason := unusable(caption.text):
            skipped.append((caption.place, f"caption: {reason}"))
        elif number == 0 or captions == "all":
            kept.append((caption, number))
            seen[caption.file] = number + 1
    contents = _contents(folder, list(seen), skipped, progress)
    rows_kept = [
        (
            opaque_id(f"{caption.file}\n{number}".encode()),
            caption.label,
            f"{caption.file} · caption {number + 1}",
            caption.file,
            caption.text,
            pair_content(contents[caption.file], caption.text),
            contents[caption.file],
            caption.file,
        )
        for caption, number in kept
        if caption.file in contents
    ]
    columns = ["sample_id", "label", "name", "media", "text", "content", "image_content", "group"]
    source = description(
        "image_text_pairs",
        path=file,
        root=folder,
        captions=captions,
        file_column=file_column,
        caption_column=caption_column,
        instances=None if instances is None else resolved(instances),
        categories=list(categories) if categories else None,
    )
    table = pd.DataFrame(rows_kept, columns=columns, dtype="str")
    samples = SampleSet(file.name.split(".")[0], "pairs", table, source, skipped_table(skipped))
    samples.require_two_classes()
    return samples


def pair_content(image: str, text: str) -> str:
    """Identity of a pair: of its image's bytes and its caption."""
    return content_key(f"{image}\n{text}".encode())


def _contents(folder: Path, files: list[str], skipped: list[tuple[str, str]], progress: Progress) -> dict[str, str]:
    """Hash of each usable image by its path; the others go to ``skipped``."""

    def content(name: str) -> str:
        try:
            payload = read_file({"root": str(folder)}, name)
            identify(payload)
            return content_key(payload)
        except (ValueError, OSError) as error:  # a name with a NUL, or longer than the file system's names
            if isinstance(error, UnreadableMedia):
                raise
            raise UnreadableMedia(f"its name cannot be opened: {error}") from error

    contents: dict[str, str] = {}
    for name, key in read_each(content, files, progress):
        if isinstance(key, UnreadableMedia):
            skipped.append((name, str(key)))
        else:
            contents[name] = key
    return contents


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON:
            raise InputError(f"{path} is larger than {MAX_JSON >> 30} GiB and is not read")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        if path.suffix.lower() == ".json" and isinstance(error, ValueError):
            return {}  # one JSON object a line, perhaps: the reader of rows says what is wrong if not
        raise InputError(f"{path} cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}


def _records(stated: dict[str, Any], what: str, keys: tuple[str, ...], path: Path) -> list[dict[str, Any]]:
    listed = stated.get(what)
    if not isinstance(listed, list):
        raise InputError(f"{path} has no list {what!r}, as COCO's annotation files have")
    for number, record in enumerate(listed):
        if not isinstance(record, dict) or any(key not in record for key in keys):
            raise InputError(f"{path}: {what}[{number}] lacks one of {', '.join(keys)}")
    return listed


def _coco(
    path: Path,
    stated: dict[str, Any],
    instances: str | Path | None,
    categories: Sequence[str] | None,
    skipped: list[tuple[str, str]],
) -> list[_Caption]:
    names = {image["id"]: str(image["file_name"]) for image in _records(stated, "images", ("id", "file_name"), path)}
    shown = None if instances is None else _shown(resolved(instances), categories)
    found = []
    for annotation in _records(stated, "annotations", ("image_id", "caption"), path):
        image, place = annotation["image_id"], f"annotation {annotation.get('id', '?')}"
        if image not in names:
            skipped.append((place, f"its image {image!r} is not listed in the file"))
        elif shown is None or image in shown or not categories:
            label = UNLABELLED if shown is None else shown.get(image, "none of the categories")
            found.append(_Caption(place, names[image], str(annotation["caption"] or "").strip(), label))
    return found


def _shown(path: Path, categories: Sequence[str] | None) -> dict[Any, str]:
    """The category of which each image shows the most area, among ``categories``; ties go to the first name."""
    stated = _json(path)
    known = {each["id"]: str(each["name"]) for each in _records(stated, "categories", ("id", "name"), path)}
    for name in categories or ():
        if name not in known.values():
            raise InputError(f"{path} knows no category {name!r}; it knows {', '.join(sorted(known.values()))}")
    areas: dict[Any, dict[str, float]] = {}
    for each in _records(stated, "annotations", ("image_id", "category_id"), path):
        name = known.get(each["category_id"], "")
        if name and (not categories or name in categories):
            area = areas.setdefault(each["image_id"], {})
            size = each.get("area", 1.0)
            area[name] = area.get(name, 0.0) + (float(size) if isinstance(size, int | float) else 1.0)
    return {image: min(area, key=lambda name: (-area[name], name)) for image, area in areas.items()}


IMAGE_TEXT_PAIRS = Source(
    image_text_pairs,
    "Image–caption pairs",
    command="pairs",
    modality="pairs",
    settings=(
        Setting(
            "path",
            "file",
            "CSV, TSV, JSONL or Parquet, or COCO's captions_*.json",
            label="File of captions",
            required=True,
        ),
        Setting("root", "folder", "what the file names are relative to", label="Folder of images", required=True),
        Setting(
            "captions",
            "choice",
            "a pair for each caption of an image, or for the first only",
            "all",
            ("all", "first"),
            "Captions of an image",
        ),
        Setting("file_column", "text", "column of the file names; found by its name if usual"),
        Setting("caption_column", "text", "column of the captions; found by its name if usual"),
        Setting("instances", "file", "labels pairs by what the image shows", label="COCO's instances_*.json"),
        Setting("categories", "names", "only images that show one of these"),
    ),
    media=IMAGE_FILES,
)
