"""CIFAR-10 and CIFAR-100 as samples."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import content_key
from lsi_engine.samples.images.archives import ARCHIVES
from lsi_engine.samples.images.cifar_files import (
    LAYOUTS,
    class_names,
    decode_record,
    pixels_of,
    read_batch,
    read_record,
)
from lsi_engine.samples.sample_set import SampleSet, description
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import MediaReader, Source


def cifar10(root: str | Path, split: str = "train", *, progress: Progress = silent) -> SampleSet:
    """CIFAR-10 images (Krizhevsky 2009) from whichever files of ``split``, train or test, ``root`` holds.

    ``root`` is the folder with the batches, or the one that ``cifar-10-batches-py`` lies in. Samples are in the
    original order, batch by batch. Record 17 of ``data_batch_2`` has the id ``cifar10-2-00017`` and the media reference
    ``data_batch_2/17``; record 17 of ``test_batch`` has the id ``cifar10-test-00017``. Raises ``InputError`` naming the
    file that is missing, damaged or asks for anything but plain data.
    """
    return _read("cifar10", root, split, progress)


def cifar100(root: str | Path, split: str = "train", *, progress: Progress = silent) -> SampleSet:
    """CIFAR-100 images with their 100 fine labels, in the original order; see :func:`cifar10`.

    Record 17 of ``train`` has the id ``cifar100-train-00017`` and the media reference ``train/17``.
    """
    return _read("cifar100", root, split, progress)


def _read(kind: str, root: str | Path, split: str, progress: Progress) -> SampleSet:
    layout = LAYOUTS[kind]
    if split not in layout.splits:
        raise InputError(f"{split!r} is not a split of {kind}; it has {', '.join(layout.splits)}")
    given = Path(root).expanduser().resolve()
    folder = next((place for place in (given, given / ARCHIVES[kind].folder) if (place / layout.meta).is_file()), given)
    pattern = re.compile(layout.splits[split])
    found = {int(match[1] or 0): path for path in folder.glob("*") if (match := pattern.fullmatch(path.name))}
    if not found:
        raise ARCHIVES[kind].missing(given)
    classes = class_names(folder / layout.meta, layout.names)
    tables = []
    for done, (number, path) in enumerate(sorted(found.items())):
        progress("scan", done, len(found))
        batch = read_batch(path)
        pixels, labels = pixels_of(batch.get(b"data"), path), batch.get(layout.labels)
        if not isinstance(labels, list) or len(labels) != len(pixels):
            present = len(labels) if isinstance(labels, list) else "no"
            raise InputError(f"{path}: {len(pixels)} images but {present} labels; they must match")
        for row, label in enumerate(labels):
            if not isinstance(label, int) or not 0 <= label < len(classes):
                raise InputError(
                    f"{path}: record {row} has the label {label!r}; {layout.meta} names {len(classes)} classes"
                )
        records = range(len(labels))
        tables.append(
            pd.DataFrame(
                {
                    "sample_id": [f"{kind}-{number or split}-{row:05d}" for row in records],
                    "label": [classes[label] for label in labels],
                    "name": [f"{path.name}/{row}" for row in records],
                    "media": [f"{path.name}/{row}" for row in records],
                    "content": [content_key(record.tobytes()) for record in pixels],
                },
                dtype="str",
            )
        )
    progress("scan", len(found), len(found))
    source = description(kind, root=folder, split=None if split == "train" else split)
    samples = SampleSet(kind, "image", pd.concat(tables, ignore_index=True), source)
    samples.require_two_classes()
    return samples


RECORDS = MediaReader(read_record, decode_record)
CIFAR10, CIFAR100 = (
    Source(
        opener,
        title,
        group="Published set",
        command=opener.__name__,
        modality="image",
        settings=(
            Setting("root", "folder", "its original python files", label=f"Folder of {title}", required=True),
            Setting("split", "choice", "which images", "train", tuple(LAYOUTS[opener.__name__].splits)),
        ),
        media=RECORDS,
        archives=(opener.__name__,),
    )
    for opener, title in ((cifar10, "CIFAR-10"), (cifar100, "CIFAR-100"))
)
