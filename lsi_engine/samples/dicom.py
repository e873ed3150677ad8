"""DICOM files as 8-bit images, and folders of them as samples.

What is shown is what a viewer shows first: the first frame, after the modality transform (rescale slope and intercept,
or its table), through the file's first window or VOI table, MONOCHROME1 turned so that bone is bright. Without a
window the grey values are stretched from their 0.1 to their 99.9 percentile, padding apart.

Headers name people. Of a header only the tags in ``_TAGS`` and the one that holds the label are ever parsed; nothing of
it is stored but the label and, for the group, a salted digest of the patient's number. The salt is made of the files'
own bytes: the same folder gives the same groups, and without the files nobody can try numbers out.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import struct
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.folder_scan import Scanned, scan
from lsi_engine.samples.label_table import LabelRow, read_label_table
from lsi_engine.samples.media import (
    LARGE_PIXELS,
    MAX_FILE_BYTES,
    UnreadableMedia,
    content_key,
    one_large_image,
    refuse_bomb,
    shrunk,
    stretched,
)
from lsi_engine.samples.sample_set import SampleSet

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
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; DICOM files are given by the folder they lie in")
    if labels_csv is not None and label_field is not None:
        raise InputError("labels come from labels_csv or from label_field; give one of the two")
    from pydicom.multival import MultiValue

    field = None if label_field is None else _harmless(label_field)
    csv_path = None if labels_csv is None else Path(labels_csv).expanduser().resolve()
    rows = None if csv_path is None else read_label_table(csv_path)
    salt: list[bytes] = []

    def labelling(path: str) -> LabelRow:
        if rows is not None:
            if path not in rows:
                raise UnreadableMedia("the label file does not name it")
            return rows[path]
        if field is None and "/" not in path:
            raise UnreadableMedia("lies in no class folder, so it has no label")
        return LabelRow("" if field is not None else path.split("/", 1)[0])

    def inspect(path: str, payload: bytes, row: LabelRow) -> Scanned:
        header = _header(payload, [*_TAGS, *([field] if field else [])])
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

    settings = {"labels_csv": None if csv_path is None else str(csv_path), "label_field": field}
    source = {"kind": "dicom_folder", "root": str(folder)}
    source |= {name: value for name, value in settings.items() if value is not None}
    samples = scan(
        folder,
        labelling,
        source,
        named=rows,
        beside=csv_path,
        by_folder=rows is None and field is None,
        inspect=inspect,
        progress=progress,
    )
    samples.require_two_classes("Give a labels_csv or a label_field if the folders are not the classes.")
    return samples.with_table(_without_numbers(samples.table, b"".join(sorted(salt)), rows))


def _without_numbers(table: pd.DataFrame, salt: bytes, rows: dict[str, LabelRow] | None) -> pd.DataFrame:
    """``table`` with digests for the patients' numbers in ``group``; groups that the label file names stay."""
    if "group" not in table:
        return table
    key = hashlib.blake2b(salt).digest()
    named = [rows is not None and bool(rows[media].group) for media in table["media"]]
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


def is_dicom(payload: bytes) -> bool:
    """Whether ``payload`` begins as a DICOM file does: 128 bytes of anything, then ``DICM``."""
    return payload[128:132] == b"DICM"


def _header(payload: bytes, tags: list[str] | None) -> Any:
    """The data set with only ``tags`` and without the pixels, or all of it for ``None``.

    Messages never repeat what the parser says: it quotes values.
    """
    import pydicom

    if not payload:
        raise UnreadableMedia("empty file (0 bytes)")
    if not is_dicom(payload):
        raise UnreadableMedia("not a DICOM file")
    _refuse_inflated(payload)
    # Odd values are the rule, and warnings about them would print what they hold.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        options = {} if tags is None else {"specific_tags": tags, "stop_before_pixels": True}
        found = pydicom.dcmread(io.BytesIO(payload), **options)
        for element in found:  # values are parsed when they are asked for: now is the time to fail
            _ = element.value
        return found
    except Exception as error:  # pydicom's parser raises almost anything on malformed bytes
        raise UnreadableMedia(f"damaged DICOM header ({type(error).__name__})") from None


def _refuse_inflated(payload: bytes) -> None:
    """Raise ``UnreadableMedia`` for a deflated data set that unpacks to more than a file may hold."""
    if payload[132:140] != b"\x02\x00\x00\x00UL\x04\x00" or b"1.2.840.10008.1.2.1.99" not in payload[:4096]:
        return
    start = 144 + struct.unpack("<I", payload[140:144])[0]
    unpacking, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        for at in range(start, len(payload), 1 << 16):  # no more than 66 MB at a time
            size += len(unpacking.decompress(payload[at : at + (1 << 16)]))
            if size > MAX_FILE_BYTES:
                raise UnreadableMedia(f"too large: unpacks to more than {MAX_FILE_BYTES >> 20} MB")
    except zlib.error:
        raise UnreadableMedia("damaged DICOM file: its compressed part cannot be unpacked") from None


def decode_dicom(payload: bytes) -> Image.Image:
    """The first frame as the module docstring says; raises ``UnreadableMedia`` with the reason."""
    header = _header(payload, None)
    try:
        columns, rows = int(header.get("Columns", 0)), int(header.get("Rows", 0))
        refuse_bomb(columns, rows)
        _refuse_other_size(header)
        with one_large_image if columns * rows > LARGE_PIXELS else nullcontext():
            return shrunk(_first_frame(header))
    except UnreadableMedia:
        raise
    except MemoryError:
        raise UnreadableMedia("too large to decode") from None
    except Exception as error:  # as above; decoders do not quote the header, but may quote a value
        raise UnreadableMedia(f"truncated, damaged or unsupported DICOM image ({type(error).__name__})") from None


def _first_frame(header: Any) -> Image.Image:
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, pixel_array

    values = pixel_array(header, index=0)
    kind = str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        return Image.fromarray(_to_8_bits(apply_color_lut(values, header)))
    if values.ndim == 3:  # pydicom has turned YBR into RGB
        return Image.fromarray(_to_8_bits(values))
    grey = np.asarray(apply_modality_lut(values, header))
    if header.get("VOILUTSequence"):
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        image = _grey(apply_voi(grey.astype(np.int64), header).astype(np.float32) * (255.0 / (2**bits - 1)))
    elif (window := _window(header)) is not None:
        image = _grey(_windowed(grey.astype(np.float32), *window))
    else:
        image = stretched(grey, ignore=_padding(values, header))
    return Image.fromarray(255 - np.asarray(image)) if kind == "MONOCHROME1" else image


def _to_8_bits(colour: NDArray[Any]) -> NDArray[np.uint8]:
    return colour if colour.dtype == np.uint8 else (colour >> (8 * colour.dtype.itemsize - 8)).astype(np.uint8)


def _grey(values: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _first(value: Any) -> float:
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)


def _window(header: Any) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window, ``None`` without a usable one."""
    if header.get("WindowCenter") in (None, "") or header.get("WindowWidth") in (None, ""):
        return None
    centre, width = _first(header.WindowCenter), _first(header.WindowWidth)
    function = str(header.get("VOILUTFunction") or "LINEAR")
    usable = np.isfinite(centre) and (width >= 1 if function == "LINEAR" else width > 0)
    return (centre, width, function) if usable else None


def _windowed(grey: NDArray[np.float32], centre: float, width: float, function: str) -> NDArray[np.float32]:
    """``grey`` through a window, 0 to 255 (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        return 255.0 / (1.0 + np.exp(np.clip(-4.0 * (grey - centre) / width, -80, 80)))
    if function == "LINEAR_EXACT":
        return ((grey - centre) / width + 0.5) * 255.0
    return (
        np.where(grey > centre - 0.5, 255.0, 0.0)
        if width == 1
        else (((grey - (centre - 0.5)) / (width - 1) + 0.5) * 255.0)
    )


def _padding(values: NDArray[Any], header: Any) -> NDArray[np.bool_] | None:
    """Where the stored ``values`` are padding, which has no say in what is bright."""
    low = header.get("PixelPaddingValue")
    if low is None:
        return None
    other = header.get("PixelPaddingRangeLimit", low)
    padded = (values >= min(low, other)) & (values <= max(low, other))
    return None if padded.all() else padded


def _refuse_other_size(header: Any) -> None:
    """Raise ``UnreadableMedia`` when a compressed frame announces another size than the header does.

    Decoders allocate what the frame announces, which no limit on ``Rows`` and ``Columns`` bounds.
    """
    from pydicom.encaps import get_frame

    if not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(header.get("NumberOfFrames") or 1)
    announced = _announced_size(get_frame(header.PixelData, 0, number_of_frames=frames))
    stated = (int(header.Columns), int(header.Rows))
    if announced is not None and announced != stated:
        raise UnreadableMedia(
            f"damaged DICOM image: the header says {stated[0]} × {stated[1]}, its frame {announced[0]} × {announced[1]}"
        )


def _announced_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a JPEG, JPEG-LS or JPEG 2000 stream; ``None`` for others (RLE has none)."""
    if (size := frame.find(b"\xff\x51", 0, 256)) >= 0 and frame[:2] != b"\xff\xd8":  # JPEG 2000: SIZ
        right, bottom, left, top = struct.unpack(">4I", frame[size + 6 : size + 22])
        return right - left, bottom - top
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], struct.unpack(">H", frame[at + 2 : at + 4])[0]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # start of frame
            height, width = struct.unpack(">HH", frame[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + length
    return None
