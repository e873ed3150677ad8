"""A folder of images, labelled by their folders, by their file names or by a CSV file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.folder import files_below, shown_name
from lsi_engine.samples.label_table import LabelRow, read_label_table
from lsi_engine.samples.media import UnreadableMedia, content_key, identify, read_file
from lsi_engine.samples.ordered import in_order
from lsi_engine.samples.sample_set import SampleSet, opaque_id, skipped_table

#: Reading waits for the disk and hashing lets go of the interpreter lock, so more threads than cores pay.
SCAN_THREADS = 8


def image_folder(
    root: str | Path,
    *,
    label_pattern: str | None = None,
    label_default: str | None = None,
    group_pattern: str | None = None,
    labels_csv: str | Path | None = None,
    progress: Progress = silent,
) -> SampleSet:
    """Every image below ``root``, in the order of its relative path.

    Each file is read once here: hashed for the feature cache and identified by its content. It is decoded only
    when its features are extracted, so a truncated file turns up there.

    Parameters
    ----------
    root
        Folder to search, sub-folders included. Hidden files and folders are ignored.
    label_pattern
        Regular expression searched for in the file's name; the label is its first group, or the whole match if
        it has none. Without it (and without ``labels_csv``) the label is the name of the folder directly
        below ``root`` that the file lies in.
    label_default
        Label of files whose name ``label_pattern`` does not match; without it they are skipped and listed.
    group_pattern
        The same for the group (a patient, a source). Samples that it does not match have the group "".
    labels_csv
        CSV file with the columns ``path`` (relative to ``root``), ``label`` and optionally ``split``, ``group``.
    progress
        Stage "scan", counted in files.

    Returns
    -------
    Samples whose id is a digest of the relative path, case kept, so it depends on nothing else; ``media`` is the
    relative POSIX path. ``skipped`` lists, with the reason, what is no readable image, has no label, is a link to a
    folder or leads out of ``root``.

    Raises
    ------
    InputError
        No such folder, a pattern that does not compile, settings that exclude each other, a CSV file that cannot
        be used, or fewer than two classes with usable images.
    """
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if labels_csv is not None and label_pattern is not None:
        raise InputError("labels come from label_pattern or from labels_csv; give one of the two")
    if label_default is not None and label_pattern is None:
        raise InputError("label_default is for files that label_pattern does not match; give a label_pattern too")
    csv_path = None if labels_csv is None else Path(labels_csv).expanduser().resolve()
    labelling = Labelling(
        pattern=_compiled(label_pattern, "label_pattern"),
        default=label_default,
        group=_compiled(group_pattern, "group_pattern"),
        rows=None if csv_path is None else read_label_table(csv_path),
    )

    skipped: list[tuple[str, str]] = []
    labelled: list[tuple[str, LabelRow]] = []
    for path in sorted(files_below(folder, skipped)):
        if csv_path is not None and folder / path == csv_path:
            continue
        try:
            labelled.append((path, labelling(path)))
        except UnreadableMedia as reason:
            skipped.append((path, str(reason)))
    if labelling.rows is not None:
        present = {path for path, _ in labelled}
        absent = (path for path in labelling.rows if path not in present)
        skipped += [(path, "the label file names it, but the folder has no such file") for path in absent]

    source = {"kind": "image_folder", "root": str(folder)}
    rows = _read(source, labelled, skipped, progress)
    for label in sorted({row.label for _, row in labelled} - {row[1] for row in rows}):
        skipped.append((f"class {label}", "none of its files can be used, so the class is left out"))
    if labelling.by_folder:
        skipped += [(name, "empty class folder") for name in _folders_without(labelled, folder, skipped)]

    columns = ["sample_id", "label", "name", "media", "content", "split", "group"]
    table = pd.DataFrame(rows, columns=columns, dtype="str")
    unused = [column for column in ("split", "group") if not table[column].str.len().any()]
    settings = {
        "label_pattern": label_pattern,
        "label_default": label_default,
        "group_pattern": group_pattern,
        "labels_csv": None if csv_path is None else str(csv_path),
    }
    source |= {name: value for name, value in settings.items() if value is not None}
    samples = SampleSet(folder.name, "image", table.drop(columns=unused), source, skipped_table(skipped))
    samples.require_two_classes(
        "Put the images of each class into a folder of their own below "
        f"{folder}, or give a label_pattern or a labels_csv."
    )
    return samples


def _read(
    source: dict[str, str],
    labelled: list[tuple[str, LabelRow]],
    skipped: list[tuple[str, str]],
    progress: Progress,
) -> list[tuple[str, ...]]:
    """One row of the sample table for each readable image; the others go to ``skipped``."""

    def content(item: tuple[str, LabelRow]) -> str | UnreadableMedia:
        try:
            payload = read_file(source, item[0])
            identify(payload)
            return content_key(payload)
        except UnreadableMedia as reason:
            return reason

    rows: list[tuple[str, ...]] = []
    progress("scan", 0, len(labelled))
    found = in_order(content, labelled, threads=SCAN_THREADS, ahead=8 * SCAN_THREADS)
    for done, ((path, row), key) in enumerate(zip(labelled, found, strict=True), start=1):
        if isinstance(key, UnreadableMedia):
            skipped.append((path, str(key)))
        else:
            rows.append((opaque_id(path.encode()), row.label, path, path, key, row.split, row.group))
        if done % 100 == 0 or done == len(labelled):
            progress("scan", done, len(labelled))
    return rows


def _folders_without(labelled: list[tuple[str, LabelRow]], root: Path, skipped: list[tuple[str, str]]) -> list[str]:
    """Class folders in which nothing was found, neither a file nor anything already listed."""
    known = {path.split("/", 1)[0] for path in [*(path for path, _ in labelled), *(path for path, _ in skipped)]}
    folders = (entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    return sorted(set(map(shown_name, (name for name in folders if not name.startswith(".")))) - known)


@dataclass(frozen=True)
class Labelling:
    """The rule that gives a relative path its label, split and group; raises ``UnreadableMedia`` with a reason."""

    pattern: re.Pattern[str] | None
    default: str | None
    group: re.Pattern[str] | None
    rows: dict[str, LabelRow] | None

    @property
    def by_folder(self) -> bool:
        return self.pattern is None and self.rows is None

    def __call__(self, path: str) -> LabelRow:
        folders, _, name = path.rpartition("/")
        row = LabelRow(label="")
        if self.rows is not None:
            if path not in self.rows:
                raise UnreadableMedia("the label file does not name it")
            row = self.rows[path]
            label = row.label
        elif self.pattern is not None:
            label = _first(self.pattern, name) or self.default or ""
            if not label:
                raise UnreadableMedia(f"its name does not match the label pattern {self.pattern.pattern!r}")
        elif folders:
            label = folders.split("/", 1)[0]
        else:
            raise UnreadableMedia("lies in no class folder, so it has no label")
        group = row.group or (_first(self.group, name) if self.group else "")
        return LabelRow(label, row.split, group)


def _first(pattern: re.Pattern[str], name: str) -> str:
    """The first group that took part in the match, the whole match without groups, "" without a match."""
    match = pattern.search(name)
    if match is None:
        return ""
    return next((group for group in match.groups() if group), "") if pattern.groups else match[0]


def _compiled(pattern: str | None, setting: str) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise InputError(f"{setting} {pattern!r} is no regular expression: {error}") from error
