"""CIFAR-10 and CIFAR-100 in their original "python versions".

CIFAR-10: ``data_batch_1`` … ``data_batch_5``, ``test_batch`` and ``batches.meta``. CIFAR-100: ``train``, ``test`` and
``meta``.

The files are pickles, and unpickling runs whatever a file asks for. Here it can ask for nothing: the unpickler
below builds plain containers only, and gives the few names that a stored NumPy array mentions inert stand-ins
that keep their arguments. The array is then rebuilt from its bytes by ``np.frombuffer``. Any other name is
refused before anything is looked up or called. (Walking the opcodes by hand would be the same in more lines.)
"""

from __future__ import annotations

import io
import pickle
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.samples.archives import ARCHIVES
from lsi_engine.samples.media import UnreadableMedia, content_key
from lsi_engine.samples.sample_set import SampleSet

#: One record: 32 × 32 red values row by row, then the green ones, then the blue ones.
RECORD_SHAPE = (3, 32, 32)
RECORD_BYTES = 3 * 32 * 32


class _Inert:
    """Stands in for ``numpy.ndarray`` and ``numpy.dtype`` in a file: keeps what it is given, does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else ()


def _stored_text(text: str, encoding: str) -> bytes:
    """How Python 3 writes ``bytes`` in the old protocol that these files use."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise InputError(f"bytes stored as {encoding!r} text")
    return text.encode("latin-1")


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            if name in ("_reconstruct", "ndarray", "dtype"):
                return _Inert
        elif (module, name) == ("_codecs", "encode"):
            return _stored_text
        raise InputError(f"it asks for {module}.{name}, which no CIFAR batch needs; the file is not trusted")

    def persistent_load(self, pid: Any) -> Any:
        raise InputError("it refers to objects outside the file; the file is not trusted")


def _read_batch(path: Path) -> dict[bytes, Any]:
    try:
        payload = path.read_bytes()
        content = _InertUnpickler(io.BytesIO(payload), encoding="bytes").load()
    except FileNotFoundError as error:
        raise InputError(f"there is no {path}; the python version of CIFAR has one") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # malformed opcodes raise anything
        raise InputError(f"{path} is damaged or no CIFAR batch ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; a CIFAR batch is a dictionary")
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}


def _pixels(value: Any, path: Path) -> NDArray[np.uint8]:
    """The ``(n, 3072)`` array in a batch from the inert pieces that its file described."""
    try:
        _version, shape, dtype, fortran_order, payload = value.state
        kind = dtype.arguments[0]
        rows, columns = shape
    except (AttributeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: 'data' is not a stored array") from error
    if kind not in (b"u1", "u1") or columns != RECORD_BYTES or fortran_order or not isinstance(payload, bytes):
        raise InputError(f"{path}: 'data' must hold rows of {RECORD_BYTES} bytes")
    if len(payload) != rows * columns:
        raise InputError(f"{path}: 'data' holds {len(payload)} bytes where {rows} × {columns} are announced")
    return np.frombuffer(payload, np.uint8).reshape(rows, columns)


@lru_cache(maxsize=6)  # the whole dataset at most: 6 × 31 MB
def _batch_pixels(path: Path, modified: int) -> NDArray[np.uint8]:
    return _pixels(_read_batch(path).get(b"data"), path)


@dataclass(frozen=True)
class Layout:
    """Where one dataset keeps what: the files of each split (a pattern), and the keys inside."""

    meta: str
    splits: dict[str, str]
    labels: bytes
    names: bytes


LAYOUTS = {
    "cifar10": Layout(
        "batches.meta", {"train": r"data_batch_(\d+)", "test": r"test_batch()"}, b"labels", b"label_names"
    ),
    "cifar100": Layout("meta", {"train": r"train()", "test": r"test()"}, b"fine_labels", b"fine_label_names"),
}


def cifar10(root: str | Path, split: str = "train", *, progress: Progress = silent) -> SampleSet:
    """CIFAR-10 images (Krizhevsky 2009) from whichever files of ``split``, train or test, ``root`` holds.

    ``root`` is the folder with the batches, or the one that ``cifar-10-batches-py`` lies in. Samples are in the
    original order, batch by batch. Record 17 of ``data_batch_2`` has the id ``cifar10-2-00017`` and the media
    reference ``data_batch_2/17``; record 17 of ``test_batch`` has the id ``cifar10-test-00017``. Raises ``InputError``
    naming the file that is missing, damaged or asks for anything but plain data.
    """
    return _read("cifar10", root, split, progress)


def cifar100(root: str | Path, split: str = "train", *, progress: Progress = silent) -> SampleSet:
    """CIFAR-100 images with their 100 fine labels, in the original order; see :func:`cifar10`.

    Record 17 of ``train`` has the id ``cifar100-train-00017`` and the media reference ``train/17``.
    """
    return _read("cifar100", root, split, progress)


def _read(kind: str, root: str | Path, split: str, progress: Progress) -> SampleSet:
    layout = LAYOUTS[kind]
    if split not in layout.splits:
        raise InputError(f"{split!r} is not a split of {kind}; it has {', '.join(layout.splits)}")
    given = Path(root).expanduser().resolve()
    folder = next((place for place in (given, given / ARCHIVES[kind].folder) if (place / layout.meta).is_file()), given)
    pattern = re.compile(layout.splits[split])
    found = {int(match[1] or 0): path for path in folder.glob("*") if (match := pattern.fullmatch(path.name))}
    if not found:
        raise ARCHIVES[kind].missing(given)
    classes = _class_names(folder / layout.meta, layout.names)
    tables = []
    for done, (number, path) in enumerate(sorted(found.items())):
        progress("scan", done, len(found))
        batch = _read_batch(path)
        pixels, labels = _pixels(batch.get(b"data"), path), batch.get(layout.labels)
        if not isinstance(labels, list) or len(labels) != len(pixels):
            present = len(labels) if isinstance(labels, list) else "no"
            raise InputError(f"{path}: {len(pixels)} images but {present} labels; they must match")
        for row, label in enumerate(labels):
            if not isinstance(label, int) or not 0 <= label < len(classes):
                raise InputError(
                    f"{path}: record {row} has the label {label!r}; {layout.meta} names {len(classes)} classes"
                )
        records = range(len(labels))
        tables.append(
            pd.DataFrame(
                {
                    "sample_id": [f"{kind}-{number or split}-{row:05d}" for row in records],
                    "label": [classes[label] for label in labels],
                    "name": [f"{path.name}/{row}" for row in records],
                    "media": [f"{path.name}/{row}" for row in records],
                    "content": [content_key(record.tobytes()) for record in pixels],
                },
                dtype="str",
            )
        )
    progress("scan", len(found), len(found))
    source = {"kind": kind, "root": str(folder)} | ({} if split == "train" else {"split": split})
    samples = SampleSet(kind, "image", pd.concat(tables, ignore_index=True), source)
    samples.require_two_classes()
    return samples


def _class_names(path: Path, key: bytes) -> list[str]:
    names = _read_batch(path).get(key)
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise InputError(f"{path} holds no {key.decode()!r}")
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]


def folder_of_records(folder: Path) -> tuple[str, Path] | None:
    """Which CIFAR, and where, if the files of one lie in ``folder`` or as torchvision unpacks them; else ``None``."""
    batches = [f"data_batch_{number}" for number in range(1, 6)]
    for kind, names in (("cifar10", [*batches, "test_batch"]), ("cifar100", ["train", "test"])):
        for place in (folder, folder / ARCHIVES[kind].folder):
            if any((place / name).is_file() for name in names):
                return kind, place
    return None


def record_references(kind: str, folder: Path) -> list[str]:
    """References of the training records in ``folder``, in the original order; of the test's where it has no others.

    Raises ``InputError`` for a damaged file, and for a batch that is missing before one that is there: the number of
    each record behind it could not be told.
    """
    for pattern in LAYOUTS[kind].splits.values():
        names = [path.name for path in folder.iterdir() if path.is_file() and re.fullmatch(pattern, path.name)]
        names.sort(key=lambda name: (len(name), name))
        if kind == "cifar10" and "test_batch" not in names:
            for number, name in enumerate(names, start=1):
                if name != f"data_batch_{number}":
                    raise InputError(f"{folder} has {name} but no data_batch_{number}: copy that one there, too")
        if names:
            sizes = {name: len(_batch_pixels(folder / name, (folder / name).stat().st_mtime_ns)) for name in names}
            return [f"{name}/{row}" for name, size in sizes.items() for row in range(size)]
    raise InputError(f"{folder} holds no CIFAR batches")


def read_record(source: dict[str, Any], media: str) -> bytes:
    """The 3 072 bytes of the record ``FILE/ROW``; batches are kept in memory once read."""
    match = re.fullmatch(r"(data_batch_\d+|test_batch|train|test)/(\d+)", media)
    if not match:
        raise UnreadableMedia(f"{media!r} is no CIFAR record; they are called data_batch_1/0 and so on")
    path = Path(source["root"]) / match[1]
    try:
        pixels = _batch_pixels(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise UnreadableMedia(f"{path.name} cannot be read: {error.strerror or error}") from error
    row = int(match[2])
    if row >= len(pixels):
        raise UnreadableMedia(f"{path.name} has {len(pixels)} records, no {row}")
    return pixels[row].tobytes()


def decode_record(payload: bytes) -> Image.Image:
    """One record as a 32 × 32 RGB image."""
    return Image.fromarray(
        np.ascontiguousarray(np.frombuffer(payload, np.uint8).reshape(RECORD_SHAPE).transpose(1, 2, 0))
    )
