"""DICOM: shown as a viewer would, compressed or not, and nobody's name leaves the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from written_dicom import dataset, film, payload
from written_images import encoded, pattern, write

from lsi_engine.errors import InputError
from lsi_engine.features.extract import extract
from lsi_engine.features.pixels import PixelExtractor
from lsi_engine.samples import UnreadableMedia, dicom_folder, open_media, open_source
from lsi_engine.samples.corruption import apply
from lsi_engine.samples.images.dicom_image import decode_dicom


def shown(made: Dataset) -> np.ndarray:
    return np.asarray(decode_dicom(payload(made))).astype(int)


def test_a_window_is_applied_after_rescaling() -> None:
    raw = film()
    opened = shown(dataset(raw, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1500, WindowWidth=2001))
    expected = ((raw * 2.0 - 1000) - 1499.5) / 2000 * 255 + 127.5  # PS3.3 C.11.2.1.2
    np.testing.assert_array_equal(opened, np.clip(np.rint(expected), 0, 255))
    assert (opened.min(), opened.max()) == (0, 255)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_window_functions(function: str) -> None:
    raw = film().astype(float)
    opened = shown(dataset(film(), WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function))
    exact = {
        "LINEAR_EXACT": np.clip((raw - 2000) / 1000 + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (raw - 2000) / 1000)),
    }[function]
    assert np.abs(opened - 255 * exact).max() <= 0.51


def test_the_first_of_several_windows_counts() -> None:
    several = shown(dataset(film(), WindowCenter=[500, 3000], WindowWidth=[400, 900]))
    np.testing.assert_array_equal(several, shown(dataset(film(), WindowCenter=500, WindowWidth=400)))


def test_a_voi_table_is_looked_up() -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = (np.arange(4096, dtype=np.uint16)[::-1] * 16).tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    made = dataset(film())
    made.VOILUTSequence = [table]
    np.testing.assert_array_equal(shown(made), np.rint((4095 - film().astype(int)) * 16 * 255 / 65535))


def test_monochrome1_is_turned_around() -> None:
    normal = shown(dataset(film(), WindowCenter=2048, WindowWidth=4096))
    inverted = dataset(film(), WindowCenter=2048, WindowWidth=4096, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(shown(inverted), 255 - normal)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (12, np.uint16), (16, np.uint16), (12, np.int16)])
def test_without_a_window_the_whole_range_is_used(bits: int, dtype: type) -> None:
    raw = film(bits=bits).astype(np.int64) - (2**11 if dtype is np.int16 else 0)
    opened = shown(dataset(raw.astype(dtype), bits=bits))
    assert (opened.min(), opened.max()) == (0, 255)
    assert np.corrcoef(opened.ravel(), raw.ravel())[0, 1] > 0.999


def test_padding_has_no_say_in_the_stretch() -> None:
    raw = film().astype(np.int16) + 1000
    raw[:, :8] = -2000
    with_padding = shown(dataset(raw, bits=16, PixelPaddingValue=-2000))
    assert (with_padding[:, :8] == 0).all()
    assert with_padding[:, 8:].max() - with_padding[:, 8:].min() > 250
    ignored = shown(dataset(raw, bits=16))
    assert ignored[:, 8:].min() > 60


def test_the_first_frame_of_several_is_shown() -> None:
    frames = np.stack([film(), film()[::-1], film()[:, ::-1]])
    made = dataset(frames, frames=3, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(shown(made), shown(dataset(film(), WindowCenter=2048, WindowWidth=4096)))


def test_colour_and_palettes() -> None:
    np.testing.assert_array_equal(shown(dataset(pattern(), bits=8)), pattern())
    palette = dataset(film(bits=8), bits=8, PhotometricInterpretation="PALETTE COLOR")
    for number, colour in enumerate(("Red", "Green", "Blue")):
        setattr(palette, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        palette[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        table = (np.arange(256, dtype=np.uint16) * 257 if number == 0 else np.zeros(256, np.uint16)).tobytes()
        setattr(palette, f"{colour}PaletteColorLookupTableData", table)
    opened = shown(palette)
    np.testing.assert_array_equal(opened[..., 0], film(bits=8))
    assert not opened[..., 1:].any()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_transfer_syntaxes(syntax: str) -> None:
    made = dataset(film(), WindowCenter=2048, WindowWidth=4096)
    expected = shown(made)
    made.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        made.PixelData = film().astype(">u2").tobytes()
        made.set_original_encoding(False, False)
    np.testing.assert_array_equal(shown(made), expected)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_transfer_syntaxes(syntax: str) -> None:
    made = dataset(film(64, 64), WindowCenter=2048, WindowWidth=4096)
    expected = shown(made)
    if syntax == JPEGLSLossless:
        made.PixelData = encapsulate([jpeg_ls_of_one_value(64, 64)])
        made.file_meta.TransferSyntaxUID = syntax
        made["PixelData"].is_undefined_length = True
        assert np.unique(shown(made)).size == 1
        return
    made.compress(syntax)
    assert made.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(shown(made), expected)


def jpeg_ls_of_one_value(height: int, width: int) -> bytes:
    """A JPEG-LS stream of an image that is 0 everywhere: runs of zeros cover each line, one bit a run and a stop."""
    frame = (
        b"\xff\xf7" + (11).to_bytes(2) + bytes([12]) + height.to_bytes(2) + width.to_bytes(2) + bytes([1, 1, 0x11, 0])
    )
    scan = b"\xff\xda" + (8).to_bytes(2) + bytes([1, 1, 0, 0, 0, 0])
    # In run mode the segment length grows with J (ITU-T T.87, A.7.1): every 1 covers 2^J[index] pixels of the line.
    growth = [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    bits, index = "", 0
    for _ in range(height):
        left = width
        while left > 0:
            covered = 2 ** growth[index]
            bits += "1"
            if left >= covered:
                index = min(31, index + 1)
            left -= covered
    coded, at = bytearray(), 0
    bits += "0" * 16
    while at + 8 <= len(bits):
        step = 7 if coded and coded[-1] == 0xFF else 8  # after FF comes a 0 bit
        coded.append(int(bits[at : at + step].rjust(8, "0"), 2))
        at += step
    return b"\xff\xd8" + frame + scan + bytes(coded) + b"\xff\xd9"


def test_baseline_jpeg() -> None:
    made = dataset(film(64, 64, bits=8), bits=8, WindowCenter=128, WindowWidth=256)
    expected = shown(made)
    made.PixelData = encapsulate([encoded(film(64, 64, bits=8), "JPEG", quality=95)])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert np.abs(shown(made) - expected).mean() < 4


def test_a_frame_of_another_size_than_announced_is_refused() -> None:
    made = dataset(film(64, 64, bits=8), bits=8)
    made.PixelData = encapsulate([encoded(film(64, 96, bits=8), "JPEG")])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with pytest.raises(UnreadableMedia, match="says 64 × 64, its frame 96 × 64"):
        decode_dicom(payload(made))
    larger = dataset(film(64, 64))
    larger.compress(JPEG2000Lossless)
    larger.Rows = 60
    with pytest.raises(UnreadableMedia, match="says 64 × 60, its frame 64 × 64"):
        decode_dicom(payload(larger))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "films"
    for number, (patient, view) in enumerate([("A-1", "PA"), ("A-1", "AP"), ("B-2", "PA"), ("B-2", "AP"), ("", "AP")]):
        made = dataset(film(seed=number), PatientID=patient, ViewPosition=view, PatientName="Roe^Richard")
        write(root / ("sick" if number % 2 else "well") / f"{number}.dcm", payload(made))
    write(root / "well" / "B-2.dcm", payload(dataset(film(seed=50), PatientID="B-2", ViewPosition="PA")))
    write(root / "sick" / "notes.txt", b"Roe^Richard has a cough")
    write(root / "sick" / "report.dcm", payload(dataset(film(), Rows=None)))
    return root


def test_labels_from_folders_and_groups_that_name_nobody(folder: Path) -> None:
    samples = dicom_folder(folder)
    table = samples.table
    assert table["label"].tolist() == ["sick", "sick", "well", "well", "well", "well"]
    groups = dict(zip(table["media"], table["group"], strict=True))
    assert groups["sick/1.dcm"] == groups["well/0.dcm"] != groups["well/2.dcm"]
    assert groups["well/2.dcm"] == groups["sick/3.dcm"] == groups["well/B-2.dcm"]
    assert groups["well/4.dcm"] == ""
    reasons = dict(zip(samples.skipped["item"], samples.skipped["reason"], strict=True))
    assert reasons["sick/notes.txt"] == "not a DICOM file"
    assert "without an image" in reasons["sick/report.dcm"]
    stored = table.drop(columns="media").to_csv() + samples.skipped.to_csv() + json.dumps(samples.source)
    for secret in ("A-1", "B-2", "MRN-4711", "Roe", "Richard", "Doe", "Jane"):
        assert secret not in stored
    assert open_source(samples.source).table.equals(table)


def test_the_salt_is_the_files_own(folder: Path) -> None:
    before = dicom_folder(folder).table.set_index("media")["group"]
    write(folder / "well" / "9.dcm", payload(dataset(film(seed=99), PatientID="A-1")))
    after = dicom_folder(folder).table.set_index("media")["group"]
    assert after["well/9.dcm"] == after["well/0.dcm"] != before["well/0.dcm"]


def test_labels_from_a_header_field(folder: Path) -> None:
    table = dicom_folder(folder, label_field="ViewPosition").table
    views = dict(zip(table["media"], table["label"], strict=True))
    assert views["well/0.dcm"] == views["well/2.dcm"] == "PA"
    assert views["sick/1.dcm"] == "AP"
    for field in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber", "StationName"):
        with pytest.raises(InputError, match="may identify"):
            dicom_folder(folder, label_field=field)
    with pytest.raises(InputError, match="no header field 'View'"):
        dicom_folder(folder, label_field="View")
    assert "has no BodyPartExamined" in dicom_or_reason(folder, label_field="BodyPartExamined")


def dicom_or_reason(folder: Path, **options: Any) -> str:
    with pytest.raises(InputError) as raised:
        dicom_folder(folder, **options)
    return str(raised.value)


def test_labels_from_a_table(folder: Path, tmp_path: Path) -> None:
    csv = write(tmp_path / "labels.csv", b"path,label,group\nwell/0.dcm,a,ward 1\nsick/1.dcm,b,\ngone.dcm,b,\n")
    samples = dicom_folder(folder, labels_csv=csv)
    assert samples.table["label"].tolist() == ["b", "a"]
    assert samples.table["group"].iloc[1] == "ward 1"
    assert samples.table["group"].iloc[0].startswith("patient-")
    assert "gone.dcm" in samples.skipped["item"].tolist()


def test_dicom_through_features_and_damage(folder: Path, tmp_path: Path) -> None:
    samples = apply(dicom_folder(folder), [{"kind": "blur", "rate": 0.5, "severity": 5}])
    pixels = PixelExtractor(8, color=False)
    features, failed, kept = extract(samples, pixels, tmp_path)
    assert kept.all()
    assert failed.empty
    picture = open_media(samples.source, samples.table["media"].iloc[0])
    assert (picture.mode, picture.size) == ("L", (32, 40))
    np.testing.assert_array_equal(features[0], pixels.forward(pixels.prepare(picture)[None])[0])


def reason_against(payload: bytes) -> str:
    try:
        decode_dicom(payload)
    except UnreadableMedia as reason:
        return str(reason)
    return ""


def test_nothing_of_a_header_is_repeated_in_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    made = dataset(film(), PatientName="Secret^Name")
    whole = payload(made)
    broken = [
        whole.replace(b"Secret^Name", b"Secret^Name"[:4] + b"\xff\xfe\x00SECR"),
        whole[:600],
        whole[: len(whole) // 2],
    ]
    broken.append(whole.replace(b"IS", b"DS").replace(b"US\x02\x00\x28", b"US\xff\xff\x28"))
    reasons = [reason_against(damaged) for damaged in broken]
    assert len(list(filter(None, reasons))) >= 2
    assert not [reason for reason in reasons if "ecr" in reason.lower()]
    printed = capfd.readouterr()
    assert "ecret" not in printed.out + printed.err


def test_what_cannot_be_decoded_says_why() -> None:
    huge = dataset(film(), Rows=65535, Columns=65535)
    with pytest.raises(UnreadableMedia, match="too large: 65535 × 65535"):
        decode_dicom(payload(huge))
    with pytest.raises(UnreadableMedia, match="0 bytes"):
        decode_dicom(b"")
    with pytest.raises(UnreadableMedia, match="not a DICOM file"):
        decode_dicom(encoded(pattern()))
    unknown = dataset(film())
    unknown.PixelData = encapsulate([b"nothing"])
    unknown["PixelData"].is_undefined_length = True
    unknown.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    with pytest.raises(UnreadableMedia, match="unsupported"):
        decode_dicom(payload(unknown))
