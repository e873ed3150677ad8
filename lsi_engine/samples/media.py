"""Open one sample's image: the source's reader fetches its bytes and decodes them (:mod:`.images.decoding`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia, content_key, read_file
from lsi_engine.samples.images.damage import damaged, damaged_content, is_damage
from lsi_engine.samples.images.decoding import decode_image
from lsi_engine.samples.images.deep import DeepImage
from lsi_engine.samples.registry import SOURCES
from lsi_engine.samples.source import MediaReader


def media_source(source: dict[str, Any]) -> dict[str, Any]:
    """Where the media of ``source`` lie: in itself, or, of a feature file, in the folder of its rows' pictures."""
    known = SOURCES.get(source.get("kind", ""))
    return source if known is None or known.media_source is None else known.media_source(source)


def media_reader(source: dict[str, Any]) -> MediaReader:
    """How the samples of ``source`` (a :func:`media_source`) are stored; raises ``InputError`` where there are none."""
    known = SOURCES.get(source.get("kind", ""))
    if known is None or known.media is None:
        raise InputError(f"samples of a {source.get('kind')!r} source have no image to open")
    return known.media


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
        reader = media_reader(source)
        payload = reader.read(source, media)
        return StoredMedia(content_key(payload), lambda: reader.decode(payload))
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
        reader = media_reader(source)
        if reader.is_deep is None or media.startswith("/"):  # what was damaged on purpose is 8-bit
            return False
        return reader.is_deep(reader.read(source, media))
    except InputError:
        return False


def open_deep(source: dict[str, Any], media: str) -> DeepImage | None:
    """All bits of one sample's grey values; ``None`` where 8 bits are all there is. Raises as :func:`open_media`."""
    source = media_source(source)
    reader = media_reader(source)
    if reader.decode_deep is None or media.startswith("/"):
        return None
    return reader.decode_deep(reader.read(source, media))
