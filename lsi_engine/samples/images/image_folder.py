"""A folder of images, labelled by their folders, by their file names or by a CSV file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.images.folder_scan import scan
from lsi_engine.samples.media import UnreadableMedia
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.tables.label_table import LabelRow, read_label_table


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

    settings = {
        "label_pattern": label_pattern,
        "label_default": label_default,
        "group_pattern": group_pattern,
        "labels_csv": None if csv_path is None else str(csv_path),
    }
    source = {"kind": "image_folder", "root": str(folder)}
    source |= {name: value for name, value in settings.items() if value is not None}
    by_folder = labelling.pattern is None and labelling.rows is None
    samples = scan(
        folder, labelling, source, named=labelling.rows, beside=csv_path, by_folder=by_folder, progress=progress
    )
    samples.require_two_classes(
        "Put the images of each class into a folder of their own below "
        f"{folder}, or give a label_pattern or a labels_csv."
    )
    return samples


@dataclass(frozen=True)
class Labelling:
    """The rule that gives a relative path its label, split and group; raises ``UnreadableMedia`` with a reason."""

    pattern: re.Pattern[str] | None
    default: str | None
    group: re.Pattern[str] | None
    rows: dict[str, LabelRow] | None

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
