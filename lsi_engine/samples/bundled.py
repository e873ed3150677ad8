"""Real data that comes with scikit-learn, and so is there wherever the engine is installed: digits, breast cancer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.samples.media import UnreadableMedia, content_key
from lsi_engine.samples.sample_set import SampleSet


@cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # a second to import, and only this source needs it

    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(np.float32), labels


def digits() -> SampleSet:
    """The digits dataset (Alpaydin and Kaynak 1998, UCI; bundled with scikit-learn), in its own order.

    Features are the 64 raw pixels, ``(1797, 64)`` float32 from 0 (background) to 16 (ink), row by row.
    Labels are the class names "0" to "9". Sample 42 has the id ``digit-0042`` and the media reference "42".
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


def breast_cancer() -> SampleSet:
    """569 breast masses (Wolberg, Street, Mangasarian 1995, UCI; bundled with scikit-learn), in its own order.

    Features are 30 measures of cell nuclei, ``(569, 30)`` float32: mean, standard error and worst of radius, texture
    and eight more, each in a unit of its own. The labels are "malignant" (212) and "benign" (357).
    """
    from sklearn.datasets import load_breast_cancer

    bundle = load_breast_cancer()
    count = len(bundle.target)
    table = pd.DataFrame(
        {
            "sample_id": [f"mass-{index:04d}" for index in range(count)],
            "label": bundle.target_names[bundle.target].astype(str),
            "name": [f"breast mass {index}" for index in range(count)],
        },
        dtype="str",
    )
    return SampleSet(
        "breast-cancer",
        "features",
        table,
        {"kind": "breast_cancer"},
        features=bundle.data.astype(np.float32),
        feature_names=tuple(str(name) for name in bundle.feature_names),
    )


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
