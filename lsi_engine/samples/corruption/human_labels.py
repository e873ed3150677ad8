"""The labels that people really gave: the files of CIFAR-10N and CIFAR-100N (Wei et al. 2022).

The published files are PyTorch checkpoints of NumPy arrays by name, one value an image in the dataset's original order.
They are read with ``weights_only=True``, with no more than NumPy's own array constructors allowed.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.kind import ANY, Corruption
from lsi_engine.samples.corruption.labels import relabelled
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.setting import Setting

#: Name of each set of labels in the published files.
SETS = {
    "aggre": "aggre_label",
    "worse": "worse_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "noisy": "noisy_label",
}
CLEAN = "clean_label"


def human_labels(samples: SampleSet, file: str | Path, which: str = "aggre") -> SampleSet:
    """Replace every label by the one that people gave.

    Parameters
    ----------
    samples
        Images in the dataset's original order, the first ones if not all.
    file
        ``.pt`` as published, or the same arrays as ``.npz``, or as columns of a ``.csv``: ``clean_label`` and the
        wanted set, whole numbers, one for each image of the whole dataset.
    which
        ``aggre`` (majority of three people), ``worse``, ``random1`` to ``random3`` (CIFAR-10N), ``noisy`` (CIFAR-100N).

    The file's ``clean_label`` must agree with the samples' own labels one to one, image by image: that tells a file in
    another order, or of another dataset. Raises ``InputError`` naming the first image where it does not.
    """
    if which not in SETS:
        raise InputError(f"there are no human labels {which!r}; choose one of {', '.join(SETS)}")
    path = Path(str(file)).expanduser()
    columns = _read(path)
    for needed in (CLEAN, SETS[which]):
        if needed not in columns:
            raise InputError(f"{path} holds no {needed!r}, only {', '.join(sorted(columns)) or 'nothing'}")
    clean, given = (_whole_numbers(columns[name], name, path) for name in (CLEAN, SETS[which]))
    if len(clean) != len(given):
        raise InputError(f"{path}: {len(clean)} of {CLEAN} but {len(given)} of {SETS[which]}; they must match")
    table = samples.table
    place = table["position"].to_numpy() if "position" in table else np.arange(len(table))
    own = place >= 0  # what was planted is in no label file
    if place.max(initial=-1) >= len(clean):
        raise InputError(f"{path} has labels for {len(clean)} images, {samples.name} has {place.max() + 1}")
    truth = (table["true_label"] if "true_label" in table else table["label"]).to_numpy(dtype=object)
    names = _names(clean[place[own]], truth[own], place[own], path)
    if unknown := sorted(set(given[place[own]].tolist()) - names.keys()):
        raise InputError(f"{path} uses class {unknown[0]}, but no image of {samples.name} is of that class")
    labels = np.array(table["label"], dtype=object)
    labels[own] = [names[number] for number in given[place[own]].tolist()]
    changed = np.flatnonzero(labels != table["label"].to_numpy(dtype=object))
    return relabelled(samples, changed, labels[changed], f"human_labels {which}")


def _names(numbers: NDArray[np.int64], labels: NDArray[Any], place: NDArray[np.int64], path: Path) -> dict[int, str]:
    """The class name of each number; an image that disagrees with those before it is named."""
    names: dict[int, str] = {}
    known: dict[str, int] = {}
    for number, label, row in zip(numbers.tolist(), labels.tolist(), place.tolist(), strict=True):
        if names.setdefault(number, label) != label or known.setdefault(label, number) != number:
            raise InputError(
                f"{path} is not in this dataset's order: image {row} is {label!r} here, and {number} there, which was "
                f"{names[number]!r} before. Is it the file of another dataset, or of the test images?"
            )
    return names


def _whole_numbers(values: Any, name: str, path: Path) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{path}: {name} must be one whole number an image, not {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)


def _read(path: Path) -> dict[str, Any]:
    readers = {".pt": _read_pt, ".npz": _read_npz, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: human labels are read from .pt, .npz or .csv files")
    if not path.is_file():
        raise InputError(f"there is no label file {path}; CIFAR-N's are published at http://noisylabels.com")
    try:
        return readers[path.suffix.lower()](path)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} holds more than arrays of labels and is refused") from error
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged or no label file: {error}") from error


def _read_pt(path: Path) -> dict[str, Any]:
    import torch

    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    integers = [type(np.dtype(kind)) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]
    # Files were written by NumPy before 2 as well, which calls the module by its old name.
    names = [reconstruct, (reconstruct, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, *integers]
    with torch.serialization.safe_globals(names):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not label arrays by name")
    return {str(key): value.numpy() if isinstance(value, torch.Tensor) else value for key, value in content.items()}


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_csv(path: Path) -> dict[str, Any]:
    frame = pd.read_csv(path, encoding="utf-8-sig")
    return {str(name): frame[name].to_numpy() for name in frame}


HUMAN_LABELS = Corruption(
    "human_labels",
    human_labels,
    "labels",
    ANY,
    "the labels that people gave to CIFAR-10 or CIFAR-100 (CIFAR-N)",
    (
        Setting("file", "path", "CIFAR-10_human.pt, CIFAR-100_human.pt, or the same as .npz or .csv"),
        Setting("which", "choice", "which of the file's label sets", "aggre", tuple(SETS)),
    ),
)
