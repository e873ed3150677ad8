"""A cleaned subset as a folder of its pictures or texts, for tools that read folders.

``imagefolder``: ``PART/CLASS/FILE`` as torchvision's ``ImageFolder`` reads it. ``huggingface``: ``PART/FILE`` with a
``metadata.csv`` beside them (``file_name, label, sample_id``), as ``datasets.load_dataset("imagefolder")`` reads it.
``PART`` is train, validation or test; without parts everything is in train. ``manifest.json`` says where it came from.
Kept rows of a feature file that have no picture are listed in ``without_picture.csv`` (``sample_id, label, split``).

Files are named by sample id, so nothing collides and no name gives a label away. A sample that is a file of its own is
linked or copied byte for byte; one that is part of a larger file (CIFAR-10, digits) is written as PNG.
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from lsi_engine.curation.cleaning import CleanedSubset
from lsi_engine.curation.export import export_bytes
from lsi_engine.errors import InputError
from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.store import Run
from lsi_engine.samples.files import inside
from lsi_engine.samples.media import media_source, open_media

Layout = Literal["imagefolder", "huggingface"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def write_tree(
    subset: CleanedSubset, run: Run, layout: Layout, to: Path, *, copy: bool = False, progress: Progress = silent
) -> Path:
    """Write the kept samples into the new folder ``to``; links where ``copy`` is false and a file can be linked.

    Raises ``InputError`` when ``to`` holds something, when the run has no images, or when one cannot be opened. The
    folder gets its manifest last: without one it is unfinished.
    """
    if layout not in LAYOUTS:
        raise InputError(f"there is no layout {layout!r}; choose one of {', '.join(LAYOUTS)}")
    if run.modality != "image":
        raise InputError(f"run {run.name!r} holds {run.modality}, not images: a folder of images cannot be made of it")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} exists and is not empty: name a new folder")
    manifest = export_bytes(subset, run, "indices")
    frame = subset.frame()
    kept = frame[frame["action"] != "drop"]
    folders = _class_folders(sorted(set(kept["final_label"])))
    media = dict(zip(*(run.samples()[column] for column in ("sample_id", "media")), strict=True))
    listed: dict[str, list[tuple[str, str, str]]] = {}
    lacking: list[tuple[str, str, str]] = []
    for done, row in enumerate(kept.to_dict("records")):
        part = row.get("split") or "train"
        if not media[row["sample_id"]]:
            lacking.append((row["sample_id"], row["final_label"], part))
            continue
        folder = to / part / folders[row["final_label"]] if layout == "imagefolder" else to / part
        folder.mkdir(parents=True, exist_ok=True)
        name = _place(run, str(media[row["sample_id"]]), folder / row["sample_id"], copy)
        listed.setdefault(part, []).append((name, row["final_label"], row["sample_id"]))
        progress("files", done + 1, len(kept))
    if layout == "huggingface":
        for part, rows in listed.items():
            with (to / part / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([("file_name", "label", "sample_id"), *rows])
    if lacking:
        to.mkdir(parents=True, exist_ok=True)
        with (to / "without_picture.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("sample_id", "label", "split"), *lacking])
    with replacing(to / "manifest.json") as temporary:
        temporary.write_bytes(manifest)
    return to


def _place(run: Run, media: str, stem: Path, copy: bool) -> str:
    """Put one sample's picture at ``stem`` and its suffix; returns the file's name."""
    source = media_source(run.config.source)
    if source.get("kind") == "image_folder" and not media.startswith("/"):  # what was damaged on purpose is no file
        original = inside(source["root"], media)
        target = stem.with_name(stem.name + original.suffix.lower())
        if copy:
            shutil.copyfile(original, target)
        else:
            os.symlink(original, target)
    else:
        target = stem.with_name(stem.name + ".png")
        open_media(source, media).save(target, "PNG")
    return target.name


def _class_folders(classes: list[str]) -> dict[str, str]:
    """A plain folder name for each class; names that would collide or leave the folder get their place in front."""
    plain = {name: "".join(c if c.isalnum() or c in "-_ ." else "_" for c in name).strip(" .") for name in classes}
    taken = pd.Series(list(plain.values())).str.lower().duplicated(keep=False).to_numpy()
    return {
        name: f"{place:03d}-{folder}" if clash or not folder else folder
        for place, ((name, folder), clash) in enumerate(zip(plain.items(), taken, strict=True))
    }
