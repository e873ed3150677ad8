"""Read every file below a folder once: which are samples, of what label, and why the others are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, content_key, files_below, read_each, read_file, shown_name
from lsi_engine.samples.images.decoding import identify
from lsi_engine.samples.sample_set import SampleSet, opaque_id, skipped_table
from lsi_engine.samples.tables.label_table import LabelRow, LabelTable


class Scanned(NamedTuple):
    """What one file turned out to be: its label row, its bytes' identity, and what to call it before people."""

    row: LabelRow
    content: str
    name: str


@dataclass(frozen=True)
class Labelling:
    """Where the labels of a folder's files come from.

    ``rule`` gives the label row of a relative POSIX path, or raises ``UnreadableMedia`` with the reason against it;
    ``table`` is the label file that it reads, if any; with ``by_folder`` the folders are the classes, so that an empty
    one is worth a word.
    """

    rule: Callable[[str], LabelRow]
    table: LabelTable | None = None
    by_folder: bool = False


def class_folder(path: str) -> LabelRow:
    """The folder that ``path`` begins with as its label; raises ``UnreadableMedia`` for a file outside any."""
    folder, inside, _ = path.partition("/")
    if not inside:
        raise UnreadableMedia("lies in no class folder, so it has no label")
    return LabelRow(folder)


def inspect_image(path: str, payload: bytes, row: LabelRow) -> Scanned:
    """An image that Pillow can identify; raises ``UnreadableMedia`` otherwise."""
    identify(payload)
    return Scanned(row, content_key(payload), path)


def scan(
    folder: Path,
    labelling: Labelling,
    source: dict[str, Any],
    *,
    below: str = "",
    inspect: Callable[[str, bytes, LabelRow], Scanned] = inspect_image,
    progress: Progress = silent,
) -> SampleSet:
    """The samples among the files below ``folder``, in the order of their relative paths.

    Parameters
    ----------
    labelling
        Where the labels come from. What its table names and the folder does not hold is listed; the table itself is no
        sample.
    source
        Description of the sample set.
    below
        Only this sub-folder is searched; paths stay relative to ``folder``.
    inspect
        Looks into the bytes of a file, in several threads at once; raises ``UnreadableMedia`` with the reason.
    progress
        Stage "scan", counted in files.

    Returns
    -------
    Samples whose id is a digest of the relative path and whose ``media`` is that path. Without a class or with one
    alone too: the caller knows what to advise.
    """
    skipped: list[tuple[str, str]] = []
    labelled: list[tuple[str, LabelRow]] = []
    prefix = f"{below}/" if below else ""
    files = sorted(prefix + path for path in files_below(folder / below, skipped))
    skipped = [(prefix + item, reason) for item, reason in skipped]
    for path in files:
        if labelling.table is not None and folder / path == labelling.table.path:
            continue
        try:
            labelled.append((path, labelling.rule(path)))
        except UnreadableMedia as reason:
            skipped.append((path, str(reason)))
    if labelling.table is not None:
        present = {path for path, _ in labelled}
        absent = (path for path in labelling.table.rows if path not in present)
        skipped += [(path, "the label file names it, but the folder has no such file") for path in absent]

    rows: list[tuple[str, ...]] = []
    root = {"root": str(folder)}
    read = read_each(lambda item: inspect(item[0], read_file(root, item[0]), item[1]), labelled, progress)
    for (path, _), sample in read:
        if isinstance(sample, UnreadableMedia):
            skipped.append((path, str(sample)))
        else:
            row = sample.row
            rows.append((opaque_id(path.encode()), row.label, sample.name, path, sample.content, row.split, row.group))
    for label in sorted({row.label for _, row in labelled} - {row[1] for row in rows} - {""}):
        skipped.append((f"class {label}", "none of its files can be used, so the class is left out"))
    if labelling.by_folder:
        listed = [*(path for path, _ in labelled), *(path for path, _ in skipped)]
        known = {path.removeprefix(prefix).split("/", 1)[0] for path in listed}
        skipped += [(name, "empty class folder") for name in _folders(folder / below) if name not in known]

    columns = ["sample_id", "label", "name", "media", "content", "split", "group"]
    table = pd.DataFrame(rows, columns=columns, dtype="str")
    unused = [column for column in ("split", "group") if not table[column].str.len().any()]
    return SampleSet(folder.name, "image", table.drop(columns=unused), source, skipped_table(skipped))


def _folders(root: Path) -> list[str]:
    """Names of the folders directly in ``root``, hidden ones and links apart."""
    folders = (shown_name(entry.name) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    return sorted(name for name in folders if not name.startswith("."))
