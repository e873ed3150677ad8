"""Open one sample's image: bytes from the source, then one decoder that trusts nothing about them.

Whatever the file, the result is an 8-bit grey (``L``) or colour (``RGB``) Pillow image, upright:

- the content decides the format, never the file's extension; animations give their first frame;
- 16- and 32-bit grey is stretched linearly from its 0.1 to its 99.9 percentile (12-bit films stored in 16 bits
  would be black otherwise); CMYK, palettes and the rest become RGB; transparency is laid over white;
- images above ``LARGE_PIXELS`` are reduced by a whole factor to below it; above ``MAX_PIXELS`` they are refused.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lsi_engine.errors import InputError
from lsi_engine.samples.images.damage import damaged, damaged_content, is_damage

if TYPE_CHECKING:
    from lsi_engine.samples.images.deep import DeepImage

#: Formats that Pillow recognises by their content and decodes itself. EPS and the like would start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
#: Refused above this many pixels: 600 MB decoded, far beyond any photograph or film.
MAX_PIXELS = 150_000_000
#: Reduced above this many pixels, and decoded one at a time so that the threads' memory stays bounded.
LARGE_PIXELS = 16_000_000
MAX_FILE_BYTES = 512 * 2**20

# Pillow warns above its own limit and refuses above twice that; `refuse_bomb` refuses at the limit already.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
#: Held while an image above ``LARGE_PIXELS`` is decoded.
one_large_image = threading.Lock()


class UnreadableMedia(InputError):
    """One sample cannot be used; the message is the reason, in plain words and without the sample's name."""


@dataclass(frozen=True)
class MediaKind:
    """How one kind of source stores a sample: ``read`` fetches its bytes, ``decode`` makes an image of them."""

    read: Callable[[dict[str, Any], str], bytes]
    decode: Callable[[bytes], Image.Image]
    #: Whether there may be more than 8 bits of grey, judged by the header, and then all of them; ``None``: never.
    is_deep: Callable[[bytes], bool] | None = None
    decode_deep: Callable[[bytes], DeepImage | None] | None = None


def content_key(payload: bytes) -> str:
    """Identity of a sample's bytes (32 hexadecimal digits): equal bytes share their features."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def inside(root: str, media: str) -> Path:
    """``root / media`` with links followed; raises ``UnreadableMedia`` when that lies outside ``root``."""
    folder = os.path.realpath(root)
    try:
        path = os.path.realpath(os.path.join(folder, media))
    except ValueError as error:  # a NUL, or half a surrogate pair
        raise UnreadableMedia("has a name that no file can have") from error
    if os.path.commonpath((folder, path)) != folder:
        raise UnreadableMedia("leads out of the dataset's folder, so it is not opened")
    return Path(path)


def read_file(source: dict[str, Any], media: str, most: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of the file ``media`` (relative POSIX path) under ``source["root"]``.

    Raises ``UnreadableMedia`` for what is missing, outside the folder, no plain file (a pipe would block for
    ever) or over ``most`` bytes.
    """
    path = inside(source["root"], media)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableMedia("not a plain file")
        if status.st_size > most:
            raise UnreadableMedia(f"too large: {status.st_size / 2**20:.0f} MB, the limit is {most >> 20}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableMedia("there is no such file, or it is a broken link") from error
    except OSError as error:
        raise UnreadableMedia(f"cannot be read: {error.strerror or error}") from error


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


def decode_image(payload: bytes) -> Image.Image:
    """Decode an encoded image as the module docstring says; raises ``UnreadableMedia`` with the reason."""
    image = identify(payload)
    factor = math.ceil(math.sqrt(image.width * image.height / LARGE_PIXELS))
    try:
        if factor == 1:
            return _upright_8_bit(image)
        with one_large_image:
            # A JPEG is decoded at a smaller size straight away: the smallest not below the wanted one.
            image.draft(None, (image.width // factor, image.height // factor))
            image = _upright_8_bit(image)
            return shrunk(image)
    except InputError:
        raise
    except MemoryError as error:
        raise UnreadableMedia(f"too large to decode: {image.width} × {image.height}") from error
    except Exception as error:  # as in `identify`
        raise UnreadableMedia(f"truncated or damaged image: {error}") from error


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


def _media_kinds() -> dict[str, MediaKind]:
    # They import this module.
    from lsi_engine.samples import bundled
    from lsi_engine.samples.images import cifar, deep, dicom_image

    image_file = MediaKind(read_file, decode_image, deep.is_deep_file, deep.decode_deep_file)
    record = MediaKind(cifar.read_record, cifar.decode_record)
    return {
        "image_folder": image_file,
        "wordnet_folder": image_file,
        "pneumonia": image_file,
        "dicom_folder": MediaKind(
            read_file, dicom_image.decode_dicom, dicom_image.is_deep_dicom, dicom_image.decode_deep_dicom
        ),
        "image_text_pairs": image_file,
        "digits": MediaKind(bundled.read_digit, bundled.decode_digit),
        "cifar10": record,
        "cifar100": record,
    }


def media_source(source: dict[str, Any]) -> dict[str, Any]:
    """Where the media of ``source`` lie: in itself, or, of a feature file, in the folder of its rows' pictures."""
    if source.get("kind") != "feature_file":
        return source
    from lsi_engine.samples.images.cifar import folder_of_records  # it imports this module

    folder = Path(source.get("images") or Path(source["path"]).parent)
    kind, root = folder_of_records(folder) or ("image_folder", folder)
    return {"kind": kind, "root": str(root)}


def media_kind(source: dict[str, Any]) -> MediaKind:
    """How the samples of ``source`` (a :func:`media_source`) are stored; raises ``InputError`` where there are none."""
    kinds = _media_kinds()
    if source.get("kind") not in kinds:
        raise InputError(f"samples of a {source.get('kind')!r} source have no image to open")
    return kinds[source["kind"]]


@dataclass(frozen=True)
class StoredMedia:
    """One sample as it is stored: ``content`` is the identity of what ``decode`` makes of it."""

    content: str
    decode: Callable[[], Any]


def outside(root: Path, media: str) -> str:
    """Reference of the image ``media`` (relative POSIX path) below ``root``, a folder that is not the source's own."""
    return f"/outside={quote(str(root), safe='')}/{media}"


def read_media(source: dict[str, Any], media: str) -> StoredMedia:
    """The sample that the reference ``media`` names, read but not yet decoded.

    A reference that begins with ``/`` is derived: ``/KIND-LEVEL-SEED/MEDIA`` is MEDIA after that damage
    (:mod:`lsi_engine.samples.images.damage`), ``/outside=ROOT/PATH`` an image of another folder. Raises
    ``UnreadableMedia`` with the reason.
    """
    if not media.startswith("/"):
        source = media_source(source)
        kind = media_kind(source)
        payload = kind.read(source, media)
        return StoredMedia(content_key(payload), lambda: kind.decode(payload))
    operation, _, inner = media[1:].partition("/")
    if operation.startswith("outside="):
        payload = read_file({"root": unquote(operation.removeprefix("outside="))}, inner)
        return StoredMedia(content_key(payload), lambda: decode_image(payload))
    if not is_damage(operation):  # an absolute path, most likely
        raise UnreadableMedia("leads out of the dataset's folder, so it is not opened")
    whole = read_media(source, inner)
    return StoredMedia(damaged_content(whole.content, operation), lambda: _damaged(whole, operation))


def _damaged(whole: StoredMedia, operation: str) -> Image.Image:
    try:
        return damaged(whole.decode(), operation)
    except (OSError, ValueError, MemoryError) as error:  # a JPEG cannot be wider than 65 535 pixels, for example
        raise UnreadableMedia(f"{operation} cannot be done to this image: {error}") from error


def open_media(source: dict[str, Any], media: str) -> Image.Image:
    """The image of one sample, 8-bit ``L`` or ``RGB``, upright; ``media`` is its reference in the sample table.

    Raises ``UnreadableMedia`` (an ``InputError``) when the file is gone, damaged or outside the dataset's folder.
    """
    return read_media(source, media).decode()


def is_deep(source: dict[str, Any], media: str) -> bool:
    """Whether a sample has more than 8 bits of grey to show (:func:`open_deep`); False for one that cannot be read."""
    try:
        source = media_source(source)
        kind = media_kind(source)
        if kind.is_deep is None or media.startswith("/"):  # what was damaged on purpose is 8-bit
            return False
        return kind.is_deep(kind.read(source, media))
    except InputError:
        return False


def open_deep(source: dict[str, Any], media: str) -> DeepImage | None:
    """All bits of one sample's grey values; ``None`` where 8 bits are all there is. Raises as :func:`open_media`."""
    source = media_source(source)
    kind = media_kind(source)
    if kind.decode_deep is None or media.startswith("/"):
        return None
    return kind.decode_deep(kind.read(source, media))
