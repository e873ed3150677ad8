"""Grey images of more than 8 bits, whole: what a viewer windows itself instead of being handed 8 bits of it.

The values are kept without loss as 16-bit numbers with a slope and an intercept. Nothing of a header goes along but
windows, the direction of the grey scale and whether the numbers are Hounsfield units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lsi_engine.samples.files import UnreadableMedia
from lsi_engine.samples.images.decoding import decoding, identify

#: Reduced by a whole factor (means of blocks) until neither side is longer: 32 MB at most.
LONGEST_SIDE = 4096
#: Percentiles between which the "auto" window lies.
AUTO = (1, 99)
#: Windows of a file that are offered.
MOST_WINDOWS = 8

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True)
class Window:
    """Grey values ``centre`` ± ``width`` / 2 from black to white, along ``function`` (DICOM PS3.3, C.11.2.1)."""

    centre: float
    width: float
    function: WindowFunction = "LINEAR"


@dataclass(frozen=True)
class DeepImage:
    """One grey image in more than 8 bits.

    Attributes
    ----------
    values
        ``(H, W)`` uint16; a pixel's grey value is ``values * slope + intercept``.
    slope, intercept
        Of the grey values, in the units of ``windows``, ``auto`` and ``full``.
    windows
        Those that the file recommends, in its order.
    auto
        1st and 99th percentile of the grey values, padding apart.
    full
        Lowest and highest grey value, padding apart.
    inverted
        The lowest value is white (MONOCHROME1).
    hounsfield
        The grey values are Hounsfield units.
    original
        Width and height in the file, where the image was reduced; else ``None``.
    """

    values: NDArray[np.uint16]
    slope: float
    intercept: float
    windows: tuple[Window, ...] = ()
    auto: tuple[float, float] = (0.0, 0.0)
    full: tuple[float, float] = (0.0, 0.0)
    inverted: bool = False
    hounsfield: bool = False
    original: tuple[int, int] | None = None


def deep_image(
    grey: NDArray[Any], *, slope: float = 1.0, intercept: float = 0.0, ignore: NDArray[np.bool_] | None = None
) -> DeepImage:
    """``grey (H, W)``, integers or floats, as a :class:`DeepImage` of the grey values ``grey * slope + intercept``.

    Exact for integers that span less than 65 536, else rounded to that many steps; NaN becomes the lowest value. Pixels
    where ``ignore (H, W)`` holds have no say in ``auto`` and ``full``. Raises ``UnreadableMedia`` when none has one.
    """
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise UnreadableMedia("has no usable rescaling of its grey values")
    usable = np.isfinite(grey)
    if ignore is not None:
        usable &= ~ignore
    if not usable.any():
        raise UnreadableMedia("holds no finite pixel value")
    told = grey[usable]
    full = float(told.min()), float(told.max())
    step = math.ceil(told.size / 1_000_000)
    auto = tuple(float(value) for value in np.percentile(told[::step], AUTO))
    # Padding may lie outside: it is kept too, as long as everything fits into 16 bits.
    finite = grey[np.isfinite(grey)]
    low, high = float(finite.min()), float(finite.max())
    whole = np.issubdtype(grey.dtype, np.integer) and high - low < 2**16
    if not whole:
        low, high = full
    unit = 1.0 if whole else (high - low) / (2**16 - 1) or 1.0
    if whole:
        packed = (grey.astype(np.int64, copy=False) - int(low)).astype(np.uint16)
    else:
        scaled = (np.nan_to_num(grey.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / unit
        packed = np.clip(np.rint(scaled), 0, 2**16 - 1).astype(np.uint16)

    def shown(ends: tuple[float, ...]) -> tuple[float, float]:
        first, second = (end * slope + intercept for end in ends)
        return min(first, second), max(first, second)

    height, width = grey.shape
    made = DeepImage(packed, slope * unit, slope * low + intercept, auto=shown(auto), full=shown(full))
    factor = math.ceil(max(height, width) / LONGEST_SIDE)
    if factor == 1:
        return made
    return replace(made, values=_reduced(packed, factor), original=(width, height))


def _reduced(values: NDArray[np.uint16], factor: int) -> NDArray[np.uint16]:
    """Means over blocks of ``factor`` × ``factor`` pixels; a rest that fills no block is left out."""
    height, width = (side // factor * factor for side in values.shape)
    blocks = values[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint16)


def is_deep_file(payload: bytes) -> bool:
    """Whether an image file holds one grey channel of more than 8 bits, judged by its header."""
    return identify(payload).mode.startswith(("I", "F"))


def decode_deep_file(payload: bytes) -> DeepImage | None:
    """The grey values of an image file of more than 8 bits, upright; ``None`` for others.

    Raises ``UnreadableMedia`` with the reason.
    """
    image = identify(payload)
    if not image.mode.startswith(("I", "F")):
        return None
    with decoding(image):
        return deep_image(_upright(image))


def _upright(image: Image.Image) -> NDArray[Any]:
    image.load()
    return np.asarray(ImageOps.exif_transpose(image))
