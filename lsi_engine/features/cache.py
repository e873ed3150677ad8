"""Features on disk, keyed by what the image is and what the extractor does, never by where the file lies.

``<cache>/features/<extractor key>/``: any number of shards, each two files of the same stem: ``STEM.npy``, ``(n, D)``
float32, and ``STEM.keys``, the ``n`` content keys in the same order as fixed-width ASCII (``.npy`` format). The keys
are put in place last, so a shard is there entirely or not at all. Shards are never changed; several processes
may add to one folder, and a row that two of them computed is found once.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError, LsiWarning

#: Length of a content key (see :func:`lsi_engine.samples.files.content_key`).
KEY_TYPE = "S32"


class FeatureCache:
    """The stored features of one extractor."""

    def __init__(self, cache_folder: str | Path, extractor_key: str) -> None:
        self.folder = Path(cache_folder) / "features" / extractor_key

    def add(self, content: Sequence[str], features: NDArray[np.float32]) -> None:
        """Store one shard: row i of ``features (n, D)`` belongs to ``content[i]``, all of them different."""
        if not content:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix="shard-", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            _save(temporary, np.ascontiguousarray(features, dtype=np.float32))
            os.replace(temporary, temporary.with_suffix(".npy"))
            _save(temporary, np.array(content, dtype=KEY_TYPE))
            os.replace(temporary, temporary.with_suffix(".keys"))
        finally:
            temporary.unlink(missing_ok=True)

    def fill(self, content: Sequence[str], features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Write the stored rows among the N contents into ``features (N, D)``; return which were found ``(N,)``."""
        wanted = pd.Index(list(content), dtype="str")
        found = np.zeros(len(wanted), dtype=bool)
        for keys, rows in self._shards():
            if rows.shape[1] != features.shape[1]:
                raise InputError(
                    f"{self.folder} holds rows of {rows.shape[1]} features, not {features.shape[1]}; remove it"
                )
            place = pd.Index(keys.astype(str), dtype="str").get_indexer(wanted)
            new = (place >= 0) & ~found
            features[new] = rows[place[new]]
            found |= new
        return found

    @property
    def dimension(self) -> int | None:
        """D of the stored features, ``None`` while there are none."""
        return next((rows.shape[1] for _, rows in self._shards()), None)

    def _shards(self) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
        """Keys and memory-mapped rows of each shard; a damaged one is left out with a warning and recomputed."""
        for path in sorted(self.folder.glob("*.keys")):
            try:
                with path.open("rb") as stored:
                    keys = np.lib.format.read_array(stored, allow_pickle=False)
                rows = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
                if (
                    keys.dtype != np.dtype(KEY_TYPE)
                    or rows.dtype != np.float32
                    or rows.ndim != 2
                    or len(rows) != len(keys)
                ):
                    raise ValueError("keys and rows do not fit together")
            except (OSError, ValueError, EOFError) as error:
                warnings.warn(f"{path} is damaged and ignored: {error}", LsiWarning, stacklevel=3)
                continue
            yield keys, rows


def load(samples_table: pd.DataFrame, extractor_key: str, cache_folder: str | Path) -> NDArray[np.float32]:
    """The stored features ``(N, D)`` float32 of a sample table with the column ``content``, in its order.

    Raises ``InputError`` when some are not there, saying how many.
    """
    cache = FeatureCache(cache_folder, extractor_key)
    dimension = cache.dimension
    found, features = (
        np.zeros(len(samples_table), dtype=bool),
        np.empty((len(samples_table), dimension or 0), np.float32),
    )
    if dimension is not None:
        found = cache.fill(samples_table["content"].tolist(), features)
    if not found.all():
        raise InputError(
            f"{(~found).sum()} of {len(found)} samples have no features in {cache.folder}; score the run again"
        )
    return features


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
