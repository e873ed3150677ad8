"""One DICOM file as an image: 8 bits of it as a viewer shows it first, or all of them for a window of one's own.

What is shown first is the first frame, after the modality transform (rescale slope and intercept, or its table),
through the file's first window or VOI table, MONOCHROME1 turned so that bone is bright. Without a window the grey
values are stretched from their 0.1 to their 99.9 percentile, padding apart.
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.samples.files import MAX_FILE_BYTES, UnreadableMedia
from lsi_engine.samples.images.decoding import LARGE_PIXELS, one_large_image, refuse_bomb, shrunk, stretched
from lsi_engine.samples.images.deep import MOST_WINDOWS, DeepImage, Window, WindowFunction, deep_image

_Decoded = TypeVar("_Decoded")
_RESCALE = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
#: What decides whether there is more to a file than 8 bits of grey.
_DEPTH = ["BitsStored", "SamplesPerPixel", "PhotometricInterpretation"]


def is_dicom(payload: bytes) -> bool:
    """Whether ``payload`` begins as a DICOM file does: 128 bytes of anything, then ``DICM``."""
    return payload[128:132] == b"DICM"


def header_of(payload: bytes, tags: list[str] | None) -> Any:
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
    return _decoded(payload, lambda header: shrunk(_first_frame(header)))


def is_deep_dicom(payload: bytes) -> bool:
    """Whether the file holds grey of more than 8 bits, judged by its header."""
    return _is_deep(header_of(payload, _DEPTH))


def decode_deep_dicom(payload: bytes) -> DeepImage | None:
    """The first frame's grey values after the modality transform, with the file's windows; ``None`` for colour and
    for 8 bits. Raises ``UnreadableMedia`` with the reason.

    A VOI table is no window, so it is not among them.
    """
    return _decoded(payload, lambda header: _deep_frame(header) if _is_deep(header) else None)


def _is_deep(header: Any) -> bool:
    grey = str(header.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
    return grey and int(header.get("BitsStored") or 0) > 8


def _decoded(payload: bytes, decode: Callable[[Any], _Decoded]) -> _Decoded:
    """``decode(header)`` with every way in which it may fail said in plain words."""
    header = header_of(payload, None)
    try:
        columns, rows = int(header.get("Columns", 0)), int(header.get("Rows", 0))
        refuse_bomb(columns, rows)
        _refuse_other_size(header)
        with one_large_image if columns * rows > LARGE_PIXELS else nullcontext():
            return decode(header)
    except UnreadableMedia:
        raise
    except MemoryError:
        raise UnreadableMedia("too large to decode") from None
    except Exception as error:  # as above; decoders do not quote the header, but may quote a value
        raise UnreadableMedia(f"truncated, damaged or unsupported DICOM image ({type(error).__name__})") from None


def _deep_frame(header: Any) -> DeepImage:
    from pydicom.pixels import apply_modality_lut, pixel_array

    values = pixel_array(header, index=0)
    ignore = _padding(values, header)
    if header.get("ModalityLUTSequence"):
        made = deep_image(np.asarray(apply_modality_lut(values, header)), ignore=ignore)
    else:
        slope, intercept = (float(header.get(name) or default) for name, default in _RESCALE.items())
        made = deep_image(values, slope=slope, intercept=intercept, ignore=ignore)
    return replace(
        made,
        windows=_windows(header),
        inverted=str(header.PhotometricInterpretation) == "MONOCHROME1",
        hounsfield=_hounsfield(header),
    )


def _hounsfield(header: Any) -> bool:
    """Whether rescaled values are Hounsfield units: the file says so, or it is a CT that rescales and says nothing."""
    stated = str(header.get("RescaleType") or "").strip()
    if stated:
        return stated == "HU"
    return str(header.get("Modality", "")) == "CT" and header.get("RescaleIntercept") is not None


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
    elif windows := _windows(header):
        image = _grey(_windowed(grey.astype(np.float32), windows[0]))
    else:
        image = stretched(grey, ignore=_padding(values, header))
    return Image.fromarray(255 - np.asarray(image)) if kind == "MONOCHROME1" else image


def _to_8_bits(colour: NDArray[Any]) -> NDArray[np.uint8]:
    return colour if colour.dtype == np.uint8 else (colour >> (8 * colour.dtype.itemsize - 8)).astype(np.uint8)


def _grey(values: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _windows(header: Any) -> tuple[Window, ...]:
    """The usable windows of a file, in its order."""
    centres, widths = (_all_of(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    stated = str(header.get("VOILUTFunction") or "LINEAR")
    function: WindowFunction = stated if stated in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"  # type: ignore[assignment]
    return tuple(
        Window(centre, width, function)
        for centre, width in zip(centres, widths, strict=False)
        if np.isfinite([centre, width]).all() and (width >= 1 if function == "LINEAR" else width > 0)
    )[:MOST_WINDOWS]


def _all_of(value: Any) -> list[float]:
    if value in (None, ""):
        return []
    several = hasattr(value, "__getitem__") and not isinstance(value, str)
    return [float(one) for one in (value if several else [value])]


def _windowed(grey: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """``grey`` through a window, 0 to 255 (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
    centre, width, function = window.centre, window.width, window.function
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
