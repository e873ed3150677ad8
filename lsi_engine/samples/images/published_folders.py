"""Image datasets that are published as folders: Imagenette, Imagewoof, and the pediatric pneumonia films."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, resolved
from lsi_engine.samples.images.archives import ARCHIVES
from lsi_engine.samples.images.folder_scan import Labelling, scan
from lsi_engine.samples.sample_set import SampleSet, description
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import IMAGE_FILES, Source
from lsi_engine.samples.tables.label_table import LabelRow

#: What the WordNet ids of Imagenette's and Imagewoof's folders stand for.
WORDNET = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}
_WORDNET_ID = re.compile(r"n\d{8}")


def wordnet_folder(root: str | Path, split: str = "train", *, progress: Progress = silent) -> SampleSet:
    """Imagenette, Imagewoof or another folder ``root/SPLIT/WORDNET-ID/IMAGE``, in torchvision's order.

    That is the order of the relative paths. Classes have their names; an id that is in neither dataset stays an id.
    ``root`` may also be the folder that an Imagenette archive lies unpacked in. Raises ``InputError`` saying what was
    looked for when there is no such split.
    """
    folder = _holding(root, split, [archive.folder for archive in ARCHIVES.values()])
    if folder is None:
        addresses = ", ".join(archive.url for key, archive in ARCHIVES.items() if key.startswith("imagenette"))
        raise InputError(
            f"{resolved(root)} has no folder {split!r} of WordNet folders. `lsi compute imagenette "
            f"--download` fetches Imagenette (from {addresses}); for anything else give the unpacked folder"
        )

    def labelling(path: str) -> LabelRow:
        wordnet_id = path.split("/")[1] if path.count("/") > 1 else ""
        if not _WORDNET_ID.fullmatch(wordnet_id):
            raise UnreadableMedia("lies in no folder named by a WordNet id such as n01440764")
        return LabelRow(WORDNET.get(wordnet_id, wordnet_id), split)

    return _read(folder, split, "wordnet_folder", labelling, progress)


def pneumonia(root: str | Path, split: str = "train", *, progress: Progress = silent) -> SampleSet:
    """The pediatric chest x-rays (Kermany et al. 2018) as published: ``chest_xray/SPLIT/{NORMAL,PNEUMONIA}``.

    Three classes: "normal" by the folder, "bacterial" and "viral" by the file name. The group is the patient:
    ``person7`` of ``person7_virus_12.jpeg``, ``IM-0115`` of ``IM-0115-0001.jpeg``, ``NORMAL2-IM-0115`` where the name
    begins so. One split at a time, train, val or test, is a sample set: they share patients' numbers and base names,
    not patients. Ids come from the relative path, so equal base names stay apart. Raises ``InputError`` without the
    split.
    """
    folder = _holding(root, split, ["chest_xray"])
    if folder is None:
        raise InputError(
            f"{resolved(root)} has no folder {split!r} with NORMAL and PNEUMONIA in it; give the "
            "published chest_xray folder, and train, val or test as the split"
        )
    return _read(folder, split, "pneumonia", lambda path: _film(path, split), progress)


def _film(path: str, split: str) -> LabelRow:
    folder, name = path.split("/")[1] if path.count("/") > 1 else "", path.rsplit("/", 1)[-1]
    if folder == "NORMAL":
        match = re.match(r"(?:NORMAL\d*-)?IM-\d+", name)
        return LabelRow("normal", split, match[0] if match else "")
    if folder != "PNEUMONIA":
        raise UnreadableMedia("lies in neither NORMAL nor PNEUMONIA")
    match = re.match(r"(person\d+)_(bacteria|virus)_", name)
    if match is None:
        raise UnreadableMedia("its name says neither bacteria nor virus")
    return LabelRow({"bacteria": "bacterial", "virus": "viral"}[match[2]], split, match[1])


def _holding(given: str | Path, split: str, inner: list[str]) -> Path | None:
    """The folder, ``root`` or one of ``inner`` below it, that has a sub-folder ``split``."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", split):
        raise InputError(f"{split!r} is not a split; use train, val or test")
    root = resolved(given)
    return next((folder for folder in (root, *(root / name for name in inner)) if (folder / split).is_dir()), None)


def _read(folder: Path, split: str, kind: str, labelling: Callable[[str], LabelRow], progress: Progress) -> SampleSet:
    source = description(kind, root=folder, split=split)
    samples = scan(folder, Labelling(labelling, by_folder=True), source, below=split, progress=progress)
    samples.require_two_classes()
    return samples


_SPLIT = Setting("split", "choice", "one at a time: splits are never mixed", "train", ("train", "val"))
WORDNET_FOLDER = Source(
    wordnet_folder,
    "Imagenette or Imagewoof",
    group="Published set",
    command="imagenette",
    modality="image",
    settings=(
        Setting("root", "folder", "DIR/SPLIT/WORDNET-ID", label="Folder of Imagenette or Imagewoof", required=True),
        _SPLIT,
    ),
    media=IMAGE_FILES,
    archives=tuple(key for key in ARCHIVES if key.startswith("imagenette")),
)
PNEUMONIA = Source(
    pneumonia,
    "Pediatric pneumonia",
    group="Published set",
    command="pneumonia",
    modality="image",
    settings=(
        Setting("root", "folder", "DIR/SPLIT/{NORMAL,PNEUMONIA}", label="Folder chest_xray", required=True),
        replace(_SPLIT, choices=("train", "val", "test")),
    ),
    media=IMAGE_FILES,
)
