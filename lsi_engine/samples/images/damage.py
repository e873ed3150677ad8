"""Damage to one image, and the references that carry it.

A damaged sample's media reference is ``/KIND-LEVEL-SEED/`` in front of the reference of what is damaged, so that
whoever opens it sees what was scored; references of sources never begin with ``/``. Damage on damage is one more such
part in front. Strengths follow the image's own size, so a thumbnail and a film suffer alike.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from lsi_engine.errors import InputError

#: Part of a damaged image's content key: raise it when one of the functions below draws differently.
VERSION = 1
LEVELS = 5


def _noise(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    sigma = 255 * (0.05, 0.1, 0.15, 0.22, 0.3)[level - 1]
    values = np.asarray(image).astype(np.float32)
    values += random.normal(0, sigma, values.shape).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _blur(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur((0.005, 0.01, 0.02, 0.035, 0.06)[level - 1] * min(image.size)))


def _exposure(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    stops = (0.5, 1.0, 1.5, 2.0, 2.5)[level - 1] * random.choice((-1, 1))
    return image.point([min(255, round(value * 2.0**stops)) for value in range(256)] * len(image.getbands()))


def _crop(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    kept = (0.9, 0.75, 0.6, 0.45, 0.3)[level - 1]
    return _cut(image, kept, random)


def _cut(image: Image.Image, kept: float, random: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(edge * kept)) for edge in image.size)
    left, top = (int(random.integers(0, edge - new + 1)) for edge, new in zip(image.size, (width, height), strict=True))
    return image.crop((left, top, left + width, top + height))


def _occlusion(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    edge = (0.05, 0.1, 0.2, 0.35, 0.5)[level - 1] ** 0.5
    width, height = (max(1, round(side * edge)) for side in image.size)
    left, top = (int(random.integers(0, side - new + 1)) for side, new in zip(image.size, (width, height), strict=True))
    covered = image.copy()
    covered.paste(0 if image.mode == "L" else (0, 0, 0), (left, top, left + width, top + height))
    return covered


def _jpeg(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    return _compressed(image, (40, 25, 15, 8, 4)[level - 1])


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    read = Image.open(written, formats=["JPEG"])
    read.load()
    return read


def _near_duplicate(image: Image.Image, level: int, random: np.random.Generator) -> Image.Image:
    """What a second export of the same picture looks like: a sliver cut off, a shade brighter, compressed again."""
    cut = _cut(image, 1 - 0.01 * level, random)
    gain = 1 + 0.02 * level
    brighter = cut.point([min(255, round(value * gain)) for value in range(256)] * len(cut.getbands()))
    return _compressed(brighter, 95 - 5 * level)


#: ``(image, level 1..5, random numbers) -> image`` for 8-bit ``L`` and ``RGB`` images; the mode stays.
KINDS: dict[str, Callable[[Image.Image, int, np.random.Generator], Image.Image]] = {
    "gaussian_noise": _noise,
    "blur": _blur,
    "exposure": _exposure,
    "crop": _crop,
    "occlusion": _occlusion,
    "jpeg": _jpeg,
    "near_duplicate": _near_duplicate,
}
_OPERATION = re.compile(r"([a-z_]+)-([1-5])-(\d{1,10})")


def damaged(image: Image.Image, operation: str) -> Image.Image:
    """``image`` (8-bit ``L`` or ``RGB``) after ``operation``, ``KIND-LEVEL-SEED``: the same bytes every time.

    Raises ``InputError`` for anything else.
    """
    kind, level, seed = _parsed(operation)
    return KINDS[kind](image, level, np.random.default_rng(seed))


def damaged_content(content: str, operation: str) -> str:
    """Content key of an image of key ``content`` after ``operation``."""
    _parsed(operation)
    return hashlib.blake2b(f"{content} {operation} {VERSION}".encode(), digest_size=16).hexdigest()


def is_damage(operation: str) -> bool:
    """Whether ``operation`` is one that :func:`damaged` can do."""
    match = _OPERATION.fullmatch(operation)
    return match is not None and match[1] in KINDS


def _parsed(operation: str) -> tuple[str, int, int]:
    match = _OPERATION.fullmatch(operation)
    if match is None or not is_damage(operation):
        raise InputError(f"{operation!r} is no damage that can be done to an image")
    return match[1], int(match[2]), int(match[3])


def sample_seed(seed: int, sample_id: str) -> int:
    """Seed of one sample's damage: depends on which sample it is, not on where it stands or what else is damaged."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {sample_id}".encode(), digest_size=4).digest())
