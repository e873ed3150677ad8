"""Real DICOM files, written by pydicom."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"


def film(height: int = 40, width: int = 32, bits: int = 12, seed: int = 0) -> np.ndarray:
    """A gradient with one bright corner, ``(H, W)`` uint16 (uint8 for 8 bits) that uses all of ``bits``."""
    rows, columns = np.mgrid[0:height, 0:width]
    grey = (rows * width + columns) * (2**bits - 1) // (height * width - 1)
    grey[: height // 4, : width // 4] = 2**bits - 1
    grey[-1, -1] = seed
    return grey.astype(np.uint8 if bits <= 8 else np.uint16)


def dataset(pixels: np.ndarray, bits: int = 12, frames: int | None = None, **header: Any) -> FileDataset:
    """A data set with the pixels uncompressed; ``header`` sets or, with None, removes further fields by keyword."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = COMPUTED_RADIOGRAPHY, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = COMPUTED_RADIOGRAPHY, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID, made.Modality = "Doe^Jane", "MRN-4711", "CR"
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    made.Rows, made.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        made.PlanarConfiguration = 0
    made.BitsAllocated, made.BitsStored, made.HighBit = pixels.dtype.itemsize * 8, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    if frames is not None:
        made.NumberOfFrames = frames
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for keyword, value in header.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def payload(made: pydicom.Dataset) -> bytes:
    written = io.BytesIO()
    made.save_as(written, enforce_file_format=True)
    return written.getvalue()
