"""Every kind of image file decodes to upright 8-bit grey or colour, or says why not."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_images import encoded, pattern, write

from lsi_engine.errors import InputError
from lsi_engine.samples import UnreadableMedia, digits, open_media
from lsi_engine.samples.images.decoding import LARGE_PIXELS, MAX_PIXELS, decode_image


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000"])
def test_each_format_keeps_its_picture(file_format: str) -> None:
    options = {"quality": 95} if file_format in ("JPEG", "WEBP") else {}
    opened = decode_image(encoded(pattern(64, 48), file_format, **options))
    assert (opened.mode, opened.size) == ("RGB", (48, 64))
    assert np.abs(np.asarray(opened).astype(int) - pattern(64, 48)).mean() < 8


def test_cmyk_looks_like_the_picture_it_was_made_from() -> None:
    opened = decode_image(encoded(Image.fromarray(pattern()).convert("CMYK"), "JPEG", quality=95))
    assert opened.mode == "RGB"
    assert np.abs(np.asarray(opened).astype(int) - pattern()).mean() < 10


def test_palette_and_one_bit_images() -> None:
    palette = decode_image(encoded(Image.fromarray(pattern()).quantize(64)))
    assert palette.mode == "RGB"
    assert np.abs(np.asarray(palette).astype(int) - pattern()).mean() < 16
    assert decode_image(encoded(Image.new("1", (5, 4), 1))).getpixel((0, 0)) == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    opened = decode_image(encoded(image.convert(mode) if mode != "P" else image.quantize(4)))
    assert opened.getpixel((1, 1)) == (0, 0, 0)
    assert opened.getpixel((6, 6)) == (255, 255, 255)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (6, 6), color) for color in ("red", "blue")]
    opened = decode_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert opened.getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("file_format", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32), ("TIFF", np.float32)]
)
def test_deep_grey_uses_the_whole_8_bit_range(file_format: str, dtype: type) -> None:
    film = np.linspace(100, 4000, 60 * 50).reshape(60, 50).astype(dtype)  # 12 bits, as detectors give them
    opened = np.asarray(decode_image(encoded(Image.fromarray(film), file_format)))
    assert opened.dtype == np.uint8
    assert (opened.min(), opened.max()) == (0, 255)
    assert np.corrcoef(opened.ravel(), film.ravel())[0, 1] > 0.9999


def test_deep_grey_without_contrast_or_without_values() -> None:
    assert np.asarray(decode_image(encoded(Image.fromarray(np.full((4, 4), 900, np.uint16))))).max() == 0
    with pytest.raises(UnreadableMedia, match="no finite pixel"):
        decode_image(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: rotate by 270°
    opened = np.asarray(decode_image(encoded(pattern(64, 48), "JPEG", exif=exif, quality=95)))
    expected = np.rot90(pattern(64, 48), k=-1)
    assert opened.shape == expected.shape
    assert np.abs(opened.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_hundred_megapixels_are_reduced(file_format: str) -> None:
    image = Image.new("L", (10_000, 10_000), 200)
    image.paste(50, (0, 0, 5_000, 10_000))
    opened = decode_image(encoded(image, file_format))
    assert opened.width * opened.height <= LARGE_PIXELS
    assert min(opened.size) >= 1250
    assert opened.getpixel((opened.width // 10, 9)) == pytest.approx(50, abs=3)
    assert opened.getpixel((opened.width * 9 // 10, 9)) == pytest.approx(200, abs=3)


@pytest.mark.parametrize("edge", [13_000, 20_000])
def test_a_decompression_bomb_is_refused_undecoded(edge: int) -> None:
    bomb = encoded(Image.new("1", (edge, edge)))
    assert len(bomb) < 100_000 < MAX_PIXELS < edge**2
    with pytest.raises(UnreadableMedia, match="too large"):
        decode_image(bomb)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file_is_refused(file_format: str) -> None:
    random = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = encoded(random, file_format)
    with pytest.raises(UnreadableMedia, match=r"damaged|not an image"):
        decode_image(whole[: len(whole) // 2])


def test_what_is_no_image_is_refused_with_the_reason() -> None:
    with pytest.raises(UnreadableMedia, match="0 bytes"):
        decode_image(b"")
    with pytest.raises(UnreadableMedia, match="not an image"):
        decode_image(b"<html>404</html>")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    with pytest.raises(UnreadableMedia, match="not an image"):
        decode_image(postscript)  # Pillow would start Ghostscript


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_give_an_image_or_a_reason_and_nothing_else(data: st.DataObject) -> None:
    payload = bytearray(encoded(pattern(), data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadableMedia):
        assert decode_image(bytes(payload)).mode in ("L", "RGB")


def test_media_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    write(tmp_path / "secret.png", encoded(pattern()))
    write(tmp_path / "data" / "a.png", encoded(pattern()))
    write(tmp_path / "data-2" / "b.png", encoded(pattern()))
    os.symlink(tmp_path / "secret.png", tmp_path / "data" / "link.png")
    os.mkfifo(tmp_path / "data" / "pipe.png")
    source = {"kind": "image_folder", "root": str(tmp_path / "data")}
    assert open_media(source, "a.png").size == (20, 24)
    for media in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "../data-2/b.png"):
        with pytest.raises(UnreadableMedia, match="leads out"):
            open_media(source, media)
    with pytest.raises(UnreadableMedia, match="no such file"):
        open_media(source, "gone.png")
    with pytest.raises(UnreadableMedia, match="not a plain file"):
        open_media(source, "pipe.png")


def test_the_digits_open_as_crisp_ink_on_paper() -> None:
    samples = digits()
    assert (len(samples), samples.features.shape, samples.features.dtype) == (1797, (1797, 64), np.float32)
    assert samples.table["sample_id"].iloc[42] == "digit-0042"
    opened = np.asarray(open_media(samples.source, samples.table["media"].iloc[42]))
    step = len(opened) // 8
    cells = opened.reshape(8, step, 8, step)
    assert (cells == cells[:, :1, :, :1]).all()
    np.testing.assert_array_equal(cells[:, 0, :, 0].ravel(), 255 - (samples.features[42] * 255 // 16).astype(int))
    with pytest.raises(UnreadableMedia, match="1796"):
        open_media(samples.source, "1797")


def test_a_source_without_media_says_so() -> None:
    with pytest.raises(InputError, match="no image to open"):
        open_media({"kind": "table", "path": "x.csv"}, "0")


def test_decoding_leaves_no_file_open(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", encoded(pattern()))
    image = open_media({"kind": "image_folder", "root": str(tmp_path)}, "a.png")
    path.unlink()
    image.save(io.BytesIO(), "PNG")
