"""Handwritten digits that come with scikit-learn, and so are there wherever the engine is installed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.samples.files import UnreadableMedia, content_key
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.source import MediaReader, Source


@cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # a second to import, and only this source needs it

    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(np.float32), labels


def digits() -> SampleSet:
    """The digits dataset (Alpaydin and Kaynak 1998, UCI; bundled with scikit-learn), in its own order.

    Features are the 64 raw pixels, ``(1797, 64)`` float32 from 0 (background) to 16 (ink), row by row. Labels are the
    class names "0" to "9". Sample 42 has the id ``digit-0042`` and the media reference "42".
    """
    pixels, labels = _digits()
    count = len(labels)
    table = pd.DataFrame(
        {
            "sample_id": [f"digit-{index:04d}" for index in range(count)],
            "label": labels.astype(str),
            "name": [f"digit {index}" for index in range(count)],
            "media": [str(index) for index in range(count)],
            "content": [content_key(row.astype(np.uint8).tobytes()) for row in pixels],
        },
        dtype="str",
    )
    return SampleSet("digits", "image", table, {"kind": "digits"}, features=pixels)


def read_digit(source: dict[str, Any], media: str) -> bytes:
    """The 64 pixels (0..16, one byte each) of digit number ``media``."""
    pixels, _ = _digits()
    if not media.isdecimal() or int(media) >= len(pixels):
        raise UnreadableMedia(f"there is no digit {media!r}: they are numbered 0 to {len(pixels) - 1}")
    return pixels[int(media)].astype(np.uint8).tobytes()


def decode_digit(payload: bytes) -> Image.Image:
    """Dark ink on white, as it was written; 8 × 8, whoever shows it enlarges it."""
    ink = np.frombuffer(payload, np.uint8).reshape(8, 8)
    grey = (255 - ink.astype(np.uint16) * 255 // 16).astype(np.uint8)
    return Image.fromarray(grey)


DIGITS = Source(
    digits,
    "Digits",
    command="digits",
    modality="image",
    media=MediaReader(read_digit, decode_digit),
    with_features=True,
)
