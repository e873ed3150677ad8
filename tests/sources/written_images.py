"""Real image files of every kind that a folder may hold, written by Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pattern(height: int = 24, width: int = 20, seed: int = 0) -> np.ndarray:
    """A colour gradient with a bright corner ``(H, W, 3)`` uint8: survives JPEG, and shows which way is up.

    Each ``seed`` gives another last pixel, so another image.
    """
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows * 255 // height, columns * 255 // width, np.full_like(rows, 40)], axis=2)
    image[: height // 4, : width // 4] = 255
    image[-1, -1] = 0, seed // 256, seed % 256
    return image.astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, file_format: str = "PNG", **options: object) -> bytes:
    written = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(written, file_format, **options)
    return written.getvalue()


def write(path: Path, payload: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path


def write_classes(root: Path, per_class: int = 3, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """A small healthy image folder: ``root/cat/0.png`` and so on, every image different."""
    for offset, label in enumerate(classes):
        for index in range(per_class):
            write(root / label / f"{index}.png", encoded(pattern(seed=offset * 1000 + index)))
    return root
