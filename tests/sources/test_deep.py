"""All bits of grey pictures: kept without loss, reduced when large, with the file's windows and nothing else of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_dicom import dataset, film, payload
from written_images import encoded, pattern, write

from lsi_engine.samples import UnreadableMedia
from lsi_engine.samples.images.deep import LONGEST_SIDE, DeepImage, Window, decode_deep_file, deep_image
from lsi_engine.samples.images.dicom_image import decode_deep_dicom
from lsi_engine.samples.media import is_deep, open_deep


def grey_of(deep: DeepImage) -> np.ndarray:
    return deep.values * deep.slope + deep.intercept


def dicom(**header: object) -> DeepImage:
    found = decode_deep_dicom(payload(dataset(film(), **header)))
    assert found is not None
    return found


@settings(max_examples=30, deadline=None)
@given(
    st.integers(-(2**40), 2**40), st.integers(0, 2**16 - 1), st.sampled_from([1.0, 2.5, -1.0]), st.integers(-1024, 0)
)
def test_whole_numbers_within_16_bits_are_exact(start: int, span: int, slope: float, intercept: int) -> None:
    grey = start + np.array([[0, span], [span // 2, span // 3]], dtype=np.int64)
    deep = deep_image(grey, slope=slope, intercept=intercept)
    assert deep.values.dtype == np.uint16
    np.testing.assert_array_equal(np.rint((grey_of(deep) - intercept) / slope), grey)
    assert deep.full == tuple(sorted((grey.min() * slope + intercept, grey.max() * slope + intercept)))


def test_floats_keep_65_536_steps_and_missing_values_are_lowest() -> None:
    grey = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    grey[3, 4] = np.nan
    deep = deep_image(grey)
    known = np.isfinite(grey)
    assert np.abs(grey_of(deep) - grey)[known].max() <= np.ptp(grey[known]) / 65535 * 0.501
    assert deep.values[3, 4] == 0
    assert deep.auto == pytest.approx(np.percentile(grey[known], (1, 99)), rel=1e-5)


def test_a_large_picture_is_reduced_to_means_and_says_so() -> None:
    grey = np.random.default_rng(0).integers(0, 4096, (6, 2 * LONGEST_SIDE + 3), dtype=np.uint16)
    deep = deep_image(grey)
    assert deep.original == (2 * LONGEST_SIDE + 3, 6)
    assert deep.values.shape == (2, (2 * LONGEST_SIDE + 3) // 3)
    assert abs(grey_of(deep)[1, 7] - grey[3:6, 21:24].mean()) <= 0.5


@pytest.mark.parametrize(("file_format", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_files_of_16_bits(file_format: str, dtype: type) -> None:
    deep = decode_deep_file(encoded(Image.fromarray(film().astype(dtype)), file_format))
    assert deep is not None
    np.testing.assert_array_equal(grey_of(deep), film())
    assert (deep.windows, deep.inverted, deep.hounsfield, deep.original) == ((), False, False, None)


def test_8_bits_and_colour_are_not_deep(tmp_path: Path) -> None:
    assert decode_deep_file(encoded(pattern())) is None
    assert decode_deep_dicom(payload(dataset(film(bits=8), bits=8))) is None
    assert decode_deep_dicom(payload(dataset(pattern(), bits=8))) is None
    source = {"kind": "image_folder", "root": str(tmp_path)}
    write(tmp_path / "deep.png", encoded(Image.fromarray(film())))
    write(tmp_path / "flat.png", encoded(pattern()))
    assert [is_deep(source, media) for media in ("deep.png", "flat.png", "gone.png", "/blur-1-0/deep.png")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert open_deep(source, "/blur-1-0/deep.png") is None
    assert not is_deep({"kind": "digits"}, "0")


def test_windows_direction_and_units_of_a_dicom_file() -> None:
    several = dicom(
        WindowCenter=[500, 3000], WindowWidth=[400, 0], RescaleSlope=2, RescaleIntercept=-1000,
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    assert several.windows == (Window(500, 400),)  # a width of 0 is no window
    assert several.inverted
    np.testing.assert_array_equal(grey_of(several), film() * 2.0 - 1000)
    sigmoid = dicom(WindowCenter=9, WindowWidth=0.5, VOILUTFunction="SIGMOID")
    assert sigmoid.windows == (Window(9, 0.5, "SIGMOID"),)
    signed = dataset((film().astype(np.int16) - 2000), bits=16)
    found = decode_deep_dicom(payload(signed))
    assert found is not None
    np.testing.assert_array_equal(grey_of(found), film().astype(int) - 2000)


def test_padding_has_no_say_in_auto_and_full() -> None:
    raw = film()
    raw[:5] = 0
    raw[5:, :] = np.clip(raw[5:, :], 100, 3000)
    deep = dicom()
    assert deep.full == (0, 4095)
    padded = decode_deep_dicom(payload(dataset(raw, PixelPaddingValue=0)))
    assert padded is not None
    assert padded.full == (100, 3000)
    np.testing.assert_array_equal(grey_of(padded), raw)


@pytest.mark.parametrize(
    ("header", "units"),
    [
        ({"Modality": "CT", "RescaleIntercept": -1024, "RescaleSlope": 1}, True),
        ({"Modality": "CT"}, False),
        ({"Modality": "CT", "RescaleIntercept": -1024, "RescaleType": "US"}, False),
        ({"Modality": "CR", "RescaleIntercept": -1024}, False),
        ({"Modality": "OT", "RescaleIntercept": -1024, "RescaleType": "HU"}, True),
    ],
)
def test_hounsfield_units_are_stated_or_a_cts(header: dict[str, object], units: bool) -> None:
    assert dicom(**header).hounsfield is units


def test_nothing_of_a_header_goes_along() -> None:
    deep = dicom(
        PatientName="Secret^Name", StudyDescription="Secret", WindowCenterWidthExplanation="Secret",
        WindowCenter=1, WindowWidth=2,
    )  # fmt: skip
    assert "ecret" not in str(asdict(deep))


def test_what_cannot_be_used_says_why() -> None:
    with pytest.raises(UnreadableMedia, match="no finite pixel"):
        deep_image(np.full((2, 2), np.nan))
    with pytest.raises(UnreadableMedia, match="no usable rescaling"):
        deep_image(film(), slope=float("inf"))
    with pytest.raises(UnreadableMedia, match="damaged"):
        decode_deep_file(
            encoded(Image.fromarray(np.random.default_rng(0).integers(0, 9999, (64, 64), np.uint16)))[:900]
        )
