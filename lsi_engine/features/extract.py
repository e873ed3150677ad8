"""Samples in, feature matrix out: decode in threads while the model works, and keep every row on disk."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.features.cache import FeatureCache
from lsi_engine.features.extractor import Extractor
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.files import UnreadableMedia, in_order
from lsi_engine.samples.media import read_media
from lsi_engine.samples.sample_set import SampleSet, skipped_table

#: Rows are stored when there are this many, or after this many seconds: all that a killed process can lose.
SHARD_ROWS = 1024
SHARD_SECONDS = 30.0
#: Batches decoded ahead of the model: enough to ride out a slow file, little enough to bound the memory.
BATCHES_AHEAD = 3
DECODING_THREADS = max(2, os.cpu_count() or 1)


def extract(
    samples: SampleSet,
    extractor: Extractor,
    cache_folder: str | Path,
    *,
    batch_size: int = 64,
    progress: Progress = silent,
) -> tuple[NDArray[np.float32], pd.DataFrame, NDArray[np.bool_]]:
    """Features of every sample, computed once for each distinct content and kept for every later run.

    Parameters
    ----------
    samples
        N samples with ``content`` and ``media`` (images) or ``text``. Texts go through the model longest first, so
        that those of a batch need little padding and memory that does not suffice shows at once.
    extractor
        The frozen model, one for images or one for texts as the samples are.
    cache_folder
        Rows are stored in ``<cache_folder>/features/<extractor.key>`` as they are computed.
    batch_size
        Samples in one forward pass.
    progress
        Stage "features", counted in samples; the first call already counts what the cache holds. When it raises,
        all that was computed is stored first.

    Returns
    -------
    features
        ``(K, D)`` float32, unscaled: the rows of the K samples that are kept, in their order.
    failed
        ``item`` (the sample's name) and ``reason`` for each sample whose media cannot be decoded.
    kept
        ``(N,)``, True for the K samples with features: ``samples.keep(kept, failed)`` are theirs.

    Raises
    ------
    InputError
        The samples have nothing that a model could read, or the extractor gives a value that is not finite.
    """
    of_texts = samples.modality == "text"
    if ("text" if of_texts else "media") not in samples.table or "content" not in samples.table:
        raise InputError(f"{samples.name} has no images or texts to compute features from; score it without a backbone")
    names, content = samples.table["name"].tolist(), samples.table["content"].tolist()
    cache = FeatureCache(cache_folder, extractor.key)
    # What the cache holds saves an extractor that is fitted to the corpus from being fitted again.
    features = np.full((len(samples), cache.dimension or extractor.dimension), np.nan, dtype=np.float32)
    kept = cache.fill(content, features)
    done = int(kept.sum())
    progress("features", done, len(samples))

    copies: dict[str, list[int]] = {}
    for row in np.flatnonzero(~kept):
        copies.setdefault(content[row], []).append(int(row))
    reasons: dict[int, str] = {}
    unstored: list[int] = []

    stored_at = time.monotonic()

    def store() -> None:
        nonlocal stored_at
        cache.add([content[row] for row in unstored], features[unstored])
        unstored.clear()
        stored_at = time.monotonic()

    def prepared(rows: list[int]) -> Any:
        return extractor.prepare(texts[rows[0]]) if of_texts else _prepared(samples, extractor, rows)

    queue = list(copies.values())
    texts: list[str] = samples.table["text"].tolist() if of_texts else []
    if of_texts:
        queue.sort(key=lambda rows: -len(texts[rows[0]]))
    inputs = in_order(prepared, queue, threads=DECODING_THREADS, ahead=BATCHES_AHEAD * batch_size)
    work = zip(queue, inputs, strict=True)
    try:
        while chunk := list(islice(work, batch_size)):
            readable = [(rows, sample) for rows, sample in chunk if not isinstance(sample, dict)]
            for _, why in chunk:
                reasons.update(why if isinstance(why, dict) else {})
            if readable:
                batch = [sample for _, sample in readable]
                computed = extractor.forward(batch if of_texts else np.stack(batch))
                for (rows, _), values in zip(readable, computed, strict=True):
                    if not np.isfinite(values).all():
                        raise InputError(
                            f"{extractor.key} gives a feature that is not finite for {names[rows[0]]}: "
                            "are its weights damaged?"
                        )
                    features[rows] = values
                    kept[rows] = True
                    unstored.append(rows[0])
            if len(unstored) >= SHARD_ROWS or time.monotonic() - stored_at > SHARD_SECONDS:
                store()
            done += sum(len(rows) for rows, _ in chunk)
            progress("features", done, len(samples))
    finally:
        inputs.close()
        store()
    failed = skipped_table((names[row], reasons[row]) for row in sorted(reasons))
    return features[kept] if reasons else features, failed, kept


def _prepared(samples: SampleSet, extractor: Extractor, rows: list[int]) -> NDArray[Any] | dict[int, str]:
    """The model's input for samples of equal content, from the first that can be read; else why by row."""
    reasons: dict[int, str] = {}
    for row in rows:
        media, content = str(samples.table["media"].iat[row]), samples.table["content"].iat[row]
        try:
            stored = read_media(samples.source, media)
            # Without this, a file that changed since the scan would be stored for ever under the wrong content.
            if stored.content != content:
                raise UnreadableMedia("changed while it was being scored; score it again")
            return extractor.prepare(stored.decode())
        except UnreadableMedia as reason:
            reasons[row] = str(reason)
    return reasons
