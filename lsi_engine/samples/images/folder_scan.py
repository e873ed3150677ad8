"""Read every file below a folder once: which are samples, of what label, and why the others are not."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lsi_engine.progress import Progress, silent
from lsi_engine.samples.folder import files_below, shown_name
from lsi_engine.samples.media import UnreadableMedia, content_key, identify, read_file
from lsi_engine.samples.ordered import in_order
from lsi_engine.samples.sample_set import SampleSet, opaque_id, skipped_table
from lsi_engine.samples.tables.label_table import LabelRow

#: Reading waits for the disk and hashing lets go of the interpreter lock, so more threads than cores pay.
SCAN_THREADS = 8


class Scanned(NamedTuple):
    """What one file turned out to be: its label row, its bytes' identity, and what to call it before people."""

    row: LabelRow
    content: str
    name: str


def inspect_image(path: str, payload: bytes, row: LabelRow) -> Scanned:
    """An image that Pillow can identify; raises ``UnreadableMedia`` otherwise."""
    identify(payload)
    return Scanned(row, content_key(payload), path)


def scan(
    folder: Path,
    labelling: Callable[[str], LabelRow],
    source: dict[str, Any],
    *,
    below: str = "",
    named: Collection[str] | None = None,
    beside: Path | None = None,
    by_folder: bool = False,
    inspect: Callable[[str, bytes, LabelRow], Scanned] = inspect_image,
    progress: Progress = silent,
) -> SampleSet:
    """The samples among the files below ``folder``, in the order of their relative paths.

    Parameters
    ----------
    labelling
        Gives the label row of a relative POSIX path, or raises ``UnreadableMedia`` with the reason against it.
    source
        Description of the sample set.
    below
        Only this sub-folder is searched; paths stay relative to ``folder``.
    named
        Paths that a label file names: those that are not there are listed.
    beside
        The label file itself, which is no sample.
    by_folder
        The folders are the classes, so that an empty one is worth a word.
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
        if beside is not None and folder / path == beside:
            continue
        try:
            labelled.append((path, labelling(path)))
        except UnreadableMedia as reason:
            skipped.append((path, str(reason)))
    if named is not None:
        present = {path for path, _ in labelled}
        absent = (path for path in named if path not in present)
        skipped += [(path, "the label file names it, but the folder has no such file") for path in absent]

    rows = _read(str(folder), labelled, skipped, inspect, progress)
    for label in sorted({row.label for _, row in labelled} - {row[1] for row in rows} - {""}):
        skipped.append((f"class {label}", "none of its files can be used, so the class is left out"))
    if by_folder:
        skipped += [
            (name, "empty class folder") for name in _folders_without(labelled, folder / below, skipped, prefix)
        ]

    columns = ["sample_id", "label", "name", "media", "content", "split", "group"]
    table = pd.DataFrame(rows, columns=columns, dtype="str")
    unused = [column for column in ("split", "group") if not table[column].str.len().any()]
    return SampleSet(folder.name, "image", table.drop(columns=unused), source, skipped_table(skipped))


def _read(
    root: str,
    labelled: list[tuple[str, LabelRow]],
    skipped: list[tuple[str, str]],
    inspect: Callable[[str, bytes, LabelRow], Scanned],
    progress: Progress,
) -> list[tuple[str, ...]]:
    """One row of the sample table for each readable image; the others go to ``skipped``."""

    def scanned(item: tuple[str, LabelRow]) -> Scanned | UnreadableMedia:
        path, row = item
        try:
            return inspect(path, read_file({"root": root}, path), row)
        except UnreadableMedia as reason:
            return reason

    rows: list[tuple[str, ...]] = []
    progress("scan", 0, len(labelled))
    found = in_order(scanned, labelled, threads=SCAN_THREADS, ahead=8 * SCAN_THREADS)
    for done, ((path, _), sample) in enumerate(zip(labelled, found, strict=True), start=1):
        if isinstance(sample, UnreadableMedia):
            skipped.append((path, str(sample)))
        else:
            row = sample.row
            rows.append((opaque_id(path.encode()), row.label, sample.name, path, sample.content, row.split, row.group))
        if done % 100 == 0 or done == len(labelled):
            progress("scan", done, len(labelled))
    return rows


def _folders_without(
    labelled: list[tuple[str, LabelRow]], root: Path, skipped: list[tuple[str, str]], prefix: str
) -> list[str]:
    """Class folders in which nothing was found, neither a file nor anything already listed."""
    listed = [*(path for path, _ in labelled), *(path for path, _ in skipped)]
    known = {path.removeprefix(prefix).split("/", 1)[0] for path in listed}
    folders = (entry for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    return sorted(
        shown_name(entry.name)
        for entry in folders
        if not entry.name.startswith(".") and shown_name(entry.name) not in known
    )
