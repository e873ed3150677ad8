"""Decode one image and trust nothing about its bytes.

Whatever the file, the result is an 8-bit grey (``L``) or colour (``RGB``) Pillow image, upright:

- the content decides the format, never the file's extension; animations give their first frame;
- 16- and 32-bit grey is stretched linearly from its 0.1 to its 99.9 percentile (12-bit films stored in 16 bits would be
  black otherwise); CMYK, palettes and the rest become RGB; transparency is laid over white;
- images above ``LARGE_PIXELS`` are reduced by a whole factor to below it; above ``MAX_PIXELS`` they are refused.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia

#: Formats that Pillow recognises by their content and decodes itself. EPS and the like would start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
#: Refused above this many pixels: 600 MB decoded, far beyond any photograph or film.
MAX_PIXELS = 150_000_000
#: Reduced above this many pixels, and decoded one at a time so that the threads' memory stays bounded.
LARGE_PIXELS = 16_000_000

# Pillow warns above its own limit and refuses above twice that; `refuse_bomb` refuses at the limit already.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
#: Held while an image above ``LARGE_PIXELS`` is decoded.
one_large_image = threading.Lock()


def identify(payload: bytes) -> Image.Image:
    """The still undecoded image in ``payload``; raises ``UnreadableMedia`` with the reason when there is none."""
    if not payload:
        raise UnreadableMedia("empty file (0 bytes)")
    try:
        image = Image.open(io.BytesIO(payload), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableMedia("not an image: the content is in none of the known formats") from error
    except Image.DecompressionBombError as error:
        raise UnreadableMedia(f"too large: over {2 * MAX_PIXELS / 1e6:.0f} megapixels") from error
    except Exception as error:  # Pillow's parsers raise almost anything on malformed bytes
        raise UnreadableMedia(f"damaged image: {error}") from error
    refuse_bomb(image.width, image.height)
    return image


def refuse_bomb(width: int, height: int) -> None:
    """Raise ``UnreadableMedia`` for an image of more than ``MAX_PIXELS``."""
    if width * height > MAX_PIXELS:
        raise UnreadableMedia(
            f"too large: {width} × {height} = {width * height / 1e6:.0f} megapixels, "
            f"the limit is {MAX_PIXELS / 1e6:.0f}"
        )


@contextmanager
def decoding(image: Image.Image) -> Iterator[None]:
    """Decode ``image`` within, a large one alone; whatever goes wrong raises ``UnreadableMedia`` with the reason."""
    try:
        with one_large_image if image.width * image.height > LARGE_PIXELS else nullcontext():
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise UnreadableMedia(f"too large to decode: {image.width} × {image.height}") from error
    except Exception as error:  # as in `identify`
        raise UnreadableMedia(f"truncated or damaged image: {error}") from error


def decode_image(payload: bytes) -> Image.Image:
    """Decode an encoded image as the module docstring says; raises ``UnreadableMedia`` with the reason."""
    image = identify(payload)
    with decoding(image):
        factor = math.ceil(math.sqrt(image.width * image.height / LARGE_PIXELS))
        if factor > 1:
            # A JPEG is decoded at a smaller size straight away: the smallest not below the wanted one.
            image.draft(None, (image.width // factor, image.height // factor))
        return shrunk(_upright_8_bit(image))


def shrunk(image: Image.Image) -> Image.Image:
    """``image`` reduced by a whole factor to below ``LARGE_PIXELS``."""
    factor = math.ceil(math.sqrt(image.width * image.height / LARGE_PIXELS))
    return image.reduce(factor) if factor > 1 else image


def _upright_8_bit(image: Image.Image) -> Image.Image:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return stretched(np.asarray(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB") if image.mode != "L" else image


def stretched(grey: NDArray[Any], ignore: NDArray[np.bool_] | None = None) -> Image.Image:
    """``(H, W)`` integers or floats of any depth as 8-bit grey, 0.1 and 99.9 percentile to black and white.

    Pixels where ``ignore (H, W)`` holds have no say in the percentiles.
    """
    values = grey.astype(np.float32)
    step = math.ceil(math.sqrt(values.size / 1_000_000))
    sampled = values[::step, ::step]
    usable = np.isfinite(sampled) if ignore is None else np.isfinite(sampled) & ~ignore[::step, ::step]
    if not usable.any():
        raise UnreadableMedia("holds no finite pixel value")
    low, high = np.percentile(sampled[usable], (0.1, 99.9))
    np.nan_to_num(values, copy=False, nan=low)
    values -= low
    values *= 255.0 / (high - low) if high > low else 0.0
    return Image.fromarray(np.clip(np.rint(values, out=values), 0, 255).astype(np.uint8))
