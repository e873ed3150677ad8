"""What a frozen feature extractor is."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Part of every extractor's key: raise it when `lsi_engine.samples.images.decoding` decodes differently than before.
DECODING_VERSION = 1


class Extractor(Protocol):
    """Turns images, or texts, into rows of features, always the same way.

    Attributes
    ----------
    key
        Identity of what is computed: equal keys mean equal features for equal samples. Covers the weights'
        values and every step of the preprocessing, the device unless it is the CPU, and the whole corpus where an
        extractor is fitted to it; usable as a folder's name.
    dimension
        D, the number of features.
    """

    key: str

    @property
    def dimension(self) -> int: ...

    def prepare(self, sample: Any) -> Any:
        """The model's input for one sample. Runs in several threads at once.

        Of an 8-bit ``L`` or ``RGB`` Pillow image: an array, same shape and dtype for every image. Of a text: anything.
        """
        ...

    def forward(self, batch: Any) -> NDArray[np.float32]:
        """Features ``(B, D)`` float32 of a stack ``(B, ...)`` of prepared images, or a list of B prepared texts."""
        ...


def extractor_key(name: str, **identity: Any) -> str:
    """``name`` and a digest of everything in ``identity`` (JSON-able) that decides the features' values."""
    stated = json.dumps({"decoding": DECODING_VERSION, **identity}, sort_keys=True)
    return f"{name}-{hashlib.blake2b(stated.encode(), digest_size=8).hexdigest()}"
