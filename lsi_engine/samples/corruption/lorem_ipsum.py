"""Texts without meaning under random labels: the paper's corruption of the data, against that of the labels."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.kind import RATE, SEED, Corruption
from lsi_engine.samples.corruption.planted import plant
from lsi_engine.samples.corruption.record import begun, chosen, generator, record
from lsi_engine.samples.files import content_key
from lsi_engine.samples.images.damage import sample_seed
from lsi_engine.samples.sample_set import SampleSet, opaque_id
from lsi_engine.samples.setting import Setting

#: Words that the pseudo-Latin has; few, so that two such texts resemble each other more than two real ones do.
VOCABULARY = 150
#: A text of one is at least this long and at most (words), whatever it replaces.
SHORTEST, LONGEST = 5, 400


def lorem_ipsum(
    samples: SampleSet, rate: float = 0.1, seed: int = 0, mode: Literal["replace", "add"] = "replace"
) -> SampleSet:
    """Put pseudo-Latin under labels drawn at random, each class being equally likely.

    ``replace``: exactly ``round(rate * N)`` of the N texts are replaced, each by one of as many words; ``true_label``
    and ``true_content`` keep what was there. ``add``: as many texts stand behind the others, as long as texts drawn
    from them; no label is right for them, so their ``true_label`` is "". All of them count as corrupted, also where the
    random label happens to be the old one.

    Raises ``InputError`` where the samples are no texts, or for a setting out of range.
    """
    if samples.modality != "text" or samples.features is not None:
        raise InputError(f"lorem_ipsum: {samples.name} has no texts whose features are still to be computed")
    if mode not in ("replace", "add"):
        raise InputError(f"lorem_ipsum: mode {mode!r} is not one of: replace, add")
    random = generator(seed, "lorem_ipsum")
    rows = chosen(samples, rate, None, random)
    classes = np.array(sorted(samples.table["label"].unique()), dtype=object)
    labels = random.choice(classes, size=len(rows))
    table = samples.table.copy()
    originals, texts, contents = (table[name].tolist() for name in ("sample_id", "text", "content"))
    written = [pseudo_latin(len(texts[row].split()), sample_seed(seed, originals[row])) for row in rows]
    if mode == "add":
        added = {
            "sample_id": [opaque_id(f"lorem ipsum {seed} beside {originals[row]}".encode()) for row in rows],
            "label": labels,
            "name": [f"lorem ipsum {number}" for number in range(len(rows))],
            "text": written,
            "content": [content_key(text.encode()) for text in written],
            "true_label": [""] * len(rows),
        }
        return plant(samples, pd.DataFrame(added, dtype="str"), "lorem_ipsum", None)
    if "true_content" not in table:
        table["true_content"] = table["content"]
    table = begun(table)
    given = table["label"].tolist()
    for row, label, text in zip(rows, labels, written, strict=True):
        given[row], texts[row], contents[row] = label, text, content_key(text.encode())
    for name, values in (("label", given), ("text", texts), ("content", contents)):
        table[name] = pd.Series(values, index=table.index, dtype="str")
    return samples.with_table(record(table, rows, "lorem_ipsum"))


def pseudo_latin(count: int, seed: int) -> str:
    """About ``count`` words (``SHORTEST`` to ``LONGEST``) in sentences of 4 to 14 words; equal seeds, equal texts."""
    random = np.random.default_rng(seed)
    words = random.choice(_vocabulary(), size=min(max(count, SHORTEST), LONGEST))
    sentences, start = [], 0
    while start < len(words):
        end = start + int(random.integers(4, 15))
        sentences.append(" ".join(words[start:end]).capitalize() + ".")
        start = end
    return " ".join(sentences)


@cache
def _vocabulary() -> Any:
    """Words of two to four syllables with Latin endings, the same on every machine."""
    random = np.random.default_rng(0)
    openings = ["b", "c", "d", "f", "g", "l", "m", "n", "p", "qu", "r", "s", "st", "t", "tr", "v"]
    endings = ["a", "ae", "am", "em", "es", "ibus", "is", "it", "orum", "um", "unt", "us"]
    words: list[str] = []
    while len(words) < VOCABULARY:
        syllables = [random.choice(openings) + random.choice(list("aeiou")) for _ in range(random.integers(1, 4))]
        word = "".join([*syllables, random.choice(list("lmnrstx")), random.choice(endings)])
        if word not in words:
            words.append(word)
    return np.array(words)


LOREM_IPSUM = Corruption(
    "lorem_ipsum",
    lorem_ipsum,
    "media",
    ("text",),
    "pseudo-Latin under random labels, in the place of texts or beside them",
    (RATE, Setting("mode", "choice", "replace texts, or add to them", "replace", ("replace", "add")), SEED),
)
