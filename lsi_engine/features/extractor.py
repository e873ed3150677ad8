"""What a frozen feature extractor is."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Part of every extractor's key: raise it when `lsi_engine.samples.media` decodes differently than before.
DECODING_VERSION = 1


class Extractor(Protocol):
    """Turns images into rows of features, always the same way.

    Attributes
    ----------
    key
        Identity of what is computed: equal keys mean equal features for equal images. Covers the weights'
        values and every step of the preprocessing; usable as a folder's name.
    dimension
        D, the number of features.
    """

    key: str
    dimension: int

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """The model's input for one 8-bit ``L`` or ``RGB`` image; same shape and dtype for every image.

        Runs in several threads at once.
        """
        ...

    def forward(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Features ``(B, D)`` float32 of a stack ``(B, ...)`` of prepared images."""
        ...


def extractor_key(name: str, **identity: Any) -> str:
    """``name`` and a digest of everything in ``identity`` (JSON-able) that decides the features' values."""
    stated = json.dumps({"decoding": DECODING_VERSION, **identity}, sort_keys=True)
    return f"{name}-{hashlib.blake2b(stated.encode(), digest_size=8).hexdigest()}"
