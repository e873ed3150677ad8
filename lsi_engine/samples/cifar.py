"""CIFAR-10 in its original "python version": ``data_batch_1`` … ``data_batch_5`` and ``batches.meta``.

The files are pickles, and unpickling runs whatever a file asks for. Here it can ask for nothing: the unpickler
below builds plain containers only, and gives the few names that a stored NumPy array mentions inert stand-ins
that keep their arguments. The array is then rebuilt from its bytes by ``np.frombuffer``. Any other name is
refused before anything is looked up or called. (Walking the opcodes by hand would be the same in more lines.)
"""

from __future__ import annotations

import io
import pickle
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
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
        raise InputError(f"there is no {path}; CIFAR-10's python version has one") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # malformed opcodes raise anything
        raise InputError(f"{path} is damaged or no CIFAR-10 batch ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; a CIFAR-10 batch is a dictionary")
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


def _class_names(root: Path) -> list[str]:
    path = root / "batches.meta"
    names = _read_batch(path).get(b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise InputError(f"{path} holds no 'label_names'")
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]


def cifar10(root: str | Path, *, progress: Progress = silent) -> SampleSet:
    """CIFAR-10 training images (Krizhevsky 2009) from whichever ``data_batch_*`` files ``root`` holds.

    Samples are in the original order, batch by batch. Record 17 of ``data_batch_2`` has the id
    ``cifar10-2-00017`` and the media reference ``data_batch_2/17``. Raises ``InputError`` naming the file that
    is missing, damaged or asks for anything but plain data.
    """
    folder = Path(root).expanduser().resolve()
    numbered = {
        int(match[1]): path
        for path in folder.glob("data_batch_*")
        if (match := re.fullmatch(r"data_batch_(\d+)", path.name))
    }
    if not numbered:
        raise InputError(
            f"{folder} holds no data_batch_1, data_batch_2, …: is it the folder of CIFAR-10's python version?"
        )
    classes = _class_names(folder)
    tables = []
    for done, (number, path) in enumerate(sorted(numbered.items())):
        progress("scan", done, len(numbered))
        batch = _read_batch(path)
        pixels, labels = _pixels(batch.get(b"data"), path), batch.get(b"labels")
        if not isinstance(labels, list) or len(labels) != len(pixels):
            found = len(labels) if isinstance(labels, list) else "no"
            raise InputError(f"{path}: {len(pixels)} images but {found} labels; they must match")
        for row, label in enumerate(labels):
            if not isinstance(label, int) or not 0 <= label < len(classes):
                raise InputError(
                    f"{path}: record {row} has the label {label!r}; batches.meta names {len(classes)} classes"
                )
        count = len(labels)
        tables.append(
            pd.DataFrame(
                {
                    "sample_id": [f"cifar10-{number}-{row:05d}" for row in range(count)],
                    "label": [classes[label] for label in labels],
                    "name": [f"data_batch_{number}/{row}" for row in range(count)],
                    "media": [f"data_batch_{number}/{row}" for row in range(count)],
                    "content": [content_key(record.tobytes()) for record in pixels],
                },
                dtype="str",
            )
        )
    progress("scan", len(numbered), len(numbered))
    source = {"kind": "cifar10", "root": str(folder)}
    samples = SampleSet("cifar10", "image", pd.concat(tables, ignore_index=True), source)
    samples.require_two_classes()
    return samples


def read_record(source: dict[str, Any], media: str) -> bytes:
    """The 3 072 bytes of the record ``data_batch_K/ROW``; batches are kept in memory once read."""
    match = re.fullmatch(r"(data_batch_\d+)/(\d+)", media)
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
