"""Finished leave-one-out trainings on disk, so that a killed run goes on where it stopped."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsi_engine.files import replacing


class ShardFolder(MutableMapping[str, dict[str, NDArray]]):
    """A mapping from a shard's key to its arrays, one ``KEY.npz`` each; what ``score(shards=…)`` takes.

    Files appear whole or not at all. One that cannot be read (a full disk, a copy cut short) counts as absent and is
    computed again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def __getitem__(self, key: str) -> dict[str, NDArray]:
        try:
            with np.load(self._path(key), allow_pickle=False) as stored:
                return dict(stored)
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise KeyError(key) from error

    def __setitem__(self, key: str, arrays: dict[str, NDArray]) -> None:
        with replacing(self._path(key)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def __delitem__(self, key: str) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self.folder.glob("*.npz")))

    def __len__(self) -> int:
        return sum(1 for _ in self)
