"""The original files of CIFAR-10 and CIFAR-100, their "python versions", and single records in them.

CIFAR-10: ``data_batch_1`` … ``data_batch_5``, ``test_batch`` and ``batches.meta``. CIFAR-100: ``train``, ``test`` and
``meta``.

The files are pickles, and unpickling runs whatever a file asks for. Here it can ask for nothing: the unpickler below
builds plain containers only, and gives the few names that a stored NumPy array mentions inert stand-ins that keep their
arguments. The array is then rebuilt from its bytes by ``np.frombuffer``. Any other name is refused before anything is
looked up or called. (Walking the opcodes by hand would be the same in more lines.)
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
from numpy.typing import NDArray
from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.samples.files import UnreadableMedia
from lsi_engine.samples.images.archives import ARCHIVES

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


def read_batch(path: Path) -> dict[bytes, Any]:
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


def pixels_of(value: Any, path: Path) -> NDArray[np.uint8]:
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
    return pixels_of(read_batch(path).get(b"data"), path)


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


def class_names(path: Path, key: bytes) -> list[str]:
    names = read_batch(path).get(key)
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
