"""A folder of images, labelled by their folders, by their file names or by a CSV file."""

from __future__ import annotations

import re
from pathlib import Path

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, resolved
from lsi_engine.samples.images.folder_scan import Labelling, class_folder, scan
from lsi_engine.samples.sample_set import SampleSet, description
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import IMAGE_FILES, Source
from lsi_engine.samples.tables.label_table import LabelRow, LabelTable


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

    Each file is read once here: hashed for the feature cache and identified by its content. It is decoded only when its
    features are extracted, so a truncated file turns up there.

    Parameters
    ----------
    root
        Folder to search, sub-folders included. Hidden files and folders are ignored.
    label_pattern
        Regular expression searched for in the file's name; the label is its first group, or the whole match if it has
        none. Without it (and without ``labels_csv``) the label is the name of the folder directly below ``root`` that
        the file lies in.
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
        No such folder, a pattern that does not compile, settings that exclude each other, a CSV file that cannot be
        used, or fewer than two classes with usable images.
    """
    folder = resolved(root)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if labels_csv is not None and label_pattern is not None:
        raise InputError("labels come from label_pattern or from labels_csv; give one of the two")
    if label_default is not None and label_pattern is None:
        raise InputError("label_default is for files that label_pattern does not match; give a label_pattern too")
    labels, groups = _compiled(label_pattern, "label_pattern"), _compiled(group_pattern, "group_pattern")
    table = None if labels_csv is None else LabelTable.read(labels_csv)

    def labelled(path: str) -> LabelRow:
        name = path.rpartition("/")[2]
        if table is not None:
            row = table.row(path)
        elif labels is not None:
            row = LabelRow(_first(labels, name) or label_default or "")
            if not row.label:
                raise UnreadableMedia(f"its name does not match the label pattern {labels.pattern!r}")
        else:
            row = class_folder(path)
        return row if row.group or groups is None else row._replace(group=_first(groups, name))

    source = description(
        "image_folder",
        root=folder,
        label_pattern=label_pattern,
        label_default=label_default,
        group_pattern=group_pattern,
        labels_csv=None if table is None else table.path,
    )
    labelling = Labelling(labelled, table, by_folder=labels is None and table is None)
    samples = scan(folder, labelling, source, progress=progress)
    samples.require_two_classes(
        f"Put the images of each class into a folder of their own below {folder}, or give a label_pattern or a "
        "labels_csv."
    )
    return samples


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


LABELS_CSV = Setting(
    "labels_csv", "file", "path,label[,split,group] instead of folder names", label="CSV of path,label[,split,group]"
)
IMAGE_FOLDER = Source(
    image_folder,
    "Image folder",
    command="images",
    modality="image",
    settings=(
        Setting("root", "folder", "searched with its sub-folders", label="Folder of images", required=True),
        Setting("label_pattern", "text", "regular expression on the file name; its first group is the label"),
        Setting("label_default", "text", "label where the pattern does not match", label="Default label"),
        Setting("group_pattern", "text", "regular expression on the file name; its first group is the group (patient)"),
        LABELS_CSV,
    ),
    media=IMAGE_FILES,
)
