"""Raw pixels: enough for tiny images such as digits, and a floor for every other extractor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.features.extractor import extractor_key

#: More than this makes a Hessian that nobody wants to factorise (3 × 64 × 64 = 12 288 features).
MAX_EDGE = 64


class PixelExtractor:
    """The image squeezed to ``image_size`` × ``image_size`` pixels (bilinear, antialiased), values 0..1.

    ``color=True`` gives red, green and blue per pixel, row by row: D = 3·image_size². ``color=False`` gives grey
    (ITU-R 601 luma): D = image_size².
    """

    def __init__(self, image_size: int = 32, *, color: bool = True) -> None:
        if isinstance(image_size, bool) or not isinstance(image_size, int) or not 1 <= image_size <= MAX_EDGE:
            raise InputError(f"pixels: the image size must be a whole number from 1 to {MAX_EDGE}, not {image_size!r}")
        self.size = image_size
        self.mode = "RGB" if color else "L"
        self.dimension = image_size * image_size * (3 if color else 1)
        self.key = extractor_key(f"pixels-{image_size}px", mode=self.mode, resize="bilinear", scale="1/255")

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        resized = image.convert(self.mode).resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(resized).reshape(-1)

    def forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return batch.astype(np.float32) / np.float32(255)
