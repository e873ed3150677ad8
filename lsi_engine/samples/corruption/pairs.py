"""Captions under the wrong images on purpose."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.kind import RATE, SEED, Corruption
from lsi_engine.samples.corruption.record import begun, chosen, generator, record
from lsi_engine.samples.pairs.image_text_pairs import pair_content
from lsi_engine.samples.sample_set import SampleSet


def swap_captions(samples: SampleSet, rate: float = 0.1, seed: int = 0) -> SampleSet:
    """Pass the captions of exactly ``round(rate * N)`` pairs around among them, none to a pair of its own image.

    ``true_text`` and ``true_content`` keep what was there. Raises ``InputError`` where that cannot be done: fewer than
    two pairs are chosen, or most of them show one image.
    """
    random = generator(seed, "swap_captions")
    rows = chosen(samples, rate, None, random)
    if not len(rows):
        return samples
    groups = samples.table["group"].to_numpy(dtype=object)
    # Sorted by image and moved on by the size of the largest group, no caption meets its own image again.
    drawn = rows[np.argsort(pd.factorize(groups[rows])[0], kind="stable")]
    largest = int(pd.Series(groups[rows]).value_counts().iloc[0])
    if 2 * largest > len(rows):
        raise InputError(
            f"swap_captions: {len(rows)} captions are chosen, {largest} of them of one image; they cannot all come "
            "under another one. Raise the rate"
        )
    table = samples.table.copy()
    if "true_text" not in table:
        table["true_text"], table["true_content"] = table["text"], table["content"]
    texts, contents = table["text"].tolist(), table["content"].tolist()
    images = table["image_content"].tolist()
    for row, text in zip(drawn, [texts[row] for row in np.roll(drawn, largest)], strict=True):
        texts[row], contents[row] = text, pair_content(images[row], text)
    for name, values in (("text", texts), ("content", contents)):
        table[name] = pd.Series(values, index=table.index, dtype="str")
    return samples.with_table(record(begun(table), rows, "swap_captions"))


SWAP_CAPTIONS = Corruption(
    "swap_captions", swap_captions, "media", ("pairs",), "captions under the images of other pairs", (RATE, SEED)
)
