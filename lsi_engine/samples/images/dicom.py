"""Folders of DICOM files as samples.

Headers name people. Of a header only the tags in ``_TAGS`` and the one that holds the label are ever parsed; nothing of
it is stored but the label and, for the group, a salted digest of the patient's number. The salt is made of the files'
own bytes: the same folder gives the same groups, and without the files nobody can try numbers out.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, content_key, read_file, resolved
from lsi_engine.samples.images.dicom_image import decode_deep_dicom, decode_dicom, header_of, is_deep_dicom
from lsi_engine.samples.images.folder_scan import Labelling, Scanned, class_folder, scan
from lsi_engine.samples.images.image_folder import LABELS_CSV
from lsi_engine.samples.sample_set import SampleSet, description
from lsi_engine.samples.setting import Setting
from lsi_engine.samples.source import MediaReader, Source
from lsi_engine.samples.tables.label_table import LabelRow, LabelTable

_TAGS = ["Rows", "Columns", "PatientID", "PatientName", "TransferSyntaxUID"]
#: Value representations that identify: names, dates, times, unique ids, free text of any length.
_IDENTIFYING_VR = {"PN", "DA", "TM", "DT", "UI", "LT", "ST", "UT", "SQ", "OB", "OW", "UN"}
#: The patient group's tags that say nothing about who it is.
_PATIENT_FACTS = {"PatientSex", "PatientAge"}
_IDENTIFYING = re.compile(r"((?<!Protocol)Name|Address|ID|Number|Telephone\w*|Comments|UID|Physician\w*|Operator\w*)$")


def dicom_folder(
    root: str | Path,
    *,
    labels_csv: str | Path | None = None,
    label_field: str | None = None,
    progress: Progress = silent,
) -> SampleSet:
    """Every DICOM file below ``root``, in the order of its relative path.

    Parameters
    ----------
    root
        Folder to search, sub-folders included. The content decides what is DICOM, not the extension.
    labels_csv
        CSV file with the columns ``path`` (relative to ``root``), ``label`` and optionally ``split``, ``group``.
    label_field
        Keyword of the header field that holds the label, such as ``ViewPosition`` or ``BodyPartExamined``. Fields that
        identify people or visits are refused. Without both, the label is the folder directly below ``root``.
    progress
        Stage "scan", counted in files.

    Returns
    -------
    Samples whose ``group`` is "patient-" and a salted digest, or "" where the header has no patient number. ``name`` is
    the relative path, unless it repeats the patient's name or number: then the file's digest stands for it.

    Raises ``InputError`` for a folder, table or field that cannot be used, or fewer than two classes.
    """
    folder = resolved(root)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; DICOM files are given by the folder they lie in")
    if labels_csv is not None and label_field is not None:
        raise InputError("labels come from labels_csv or from label_field; give one of the two")
    from pydicom.multival import MultiValue

    field = None if label_field is None else _harmless(label_field)
    table = None if labels_csv is None else LabelTable.read(labels_csv)
    salt: list[bytes] = []

    def inspect(path: str, payload: bytes, row: LabelRow) -> Scanned:
        header = header_of(payload, [*_TAGS, *([field] if field else [])])
        if "Rows" not in header or "Columns" not in header:
            raise UnreadableMedia("a DICOM file without an image (a report, a plan or a directory)")
        label = row.label
        if field is not None:
            value = header.get(field, "")
            label = " ".join(
                ("/".join(map(str, value)) if isinstance(value, list | MultiValue) else str(value)).split()
            )
            if not label:
                raise UnreadableMedia(f"its header has no {field}, which should hold the label")
        salt.append(hashlib.blake2b(payload, person=b"patient groups").digest())
        patient = str(header.get("PatientID", "")).strip()
        known = _names_it(path, [patient, *re.split(r"[\^= ]+", str(header.get("PatientName", "")))])
        content = content_key(payload)
        return Scanned(LabelRow(label, row.split, row.group or patient), content, content[:12] if known else path)

    source = description(
        "dicom_folder", root=folder, labels_csv=None if table is None else table.path, label_field=field
    )
    rule = table.row if table is not None else class_folder if field is None else lambda path: LabelRow("")
    labelling = Labelling(rule, table, by_folder=rule is class_folder)
    samples = scan(folder, labelling, source, inspect=inspect, progress=progress)
    samples.require_two_classes("Give a labels_csv or a label_field if the folders are not the classes.")
    return samples.with_table(_without_numbers(samples.table, b"".join(sorted(salt)), table))


def _without_numbers(table: pd.DataFrame, salt: bytes, labels: LabelTable | None) -> pd.DataFrame:
    """``table`` with digests for the patients' numbers in ``group``; groups that the label file names stay."""
    if "group" not in table:
        return table
    key = hashlib.blake2b(salt).digest()
    named = [labels is not None and bool(labels.rows[media].group) for media in table["media"]]
    groups = [
        group
        if given or not group
        else "patient-" + hashlib.blake2b(group.encode(), key=key, digest_size=6).hexdigest()
        for group, given in zip(table["group"], named, strict=True)
    ]
    return table.assign(group=pd.Series(groups, index=table.index, dtype="str"))


def _names_it(path: str, words: list[str]) -> bool:
    return any(len(word) > 2 and word.casefold() in path.casefold() for word in words)


def _harmless(keyword: str) -> str:
    """``keyword`` if it is a header field that may serve as a label; raises ``InputError`` otherwise."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    if tag is None:
        raise InputError(f"DICOM has no header field {keyword!r}; give its keyword, such as ViewPosition")
    patient = tag >> 16 == 0x0010 and keyword not in _PATIENT_FACTS
    if patient or dictionary_VR(tag) in _IDENTIFYING_VR or _IDENTIFYING.search(keyword):
        raise InputError(f"{keyword} may identify a person or a visit, so it is not used as a label")
    return keyword


DICOM_FOLDER = Source(
    dicom_folder,
    "DICOM files",
    group="Image folder",
    command="dicom",
    modality="image",
    settings=(
        Setting("root", "folder", "searched with its sub-folders", label="Folder of DICOM files", required=True),
        LABELS_CSV,
        Setting(
            "label_field",
            "text",
            "header field that holds the label, such as ViewPosition",
            label="Header field of the label",
        ),
    ),
    media=MediaReader(read_file, decode_dicom, is_deep_dicom, decode_deep_dicom),
)
