"""How large a dataset is, N × D in C classes, found out cheaply before it is read: bounded in time, never a guess.

Known from an earlier run on the same source, or read whole where that takes a second at most, or counted from file
names, headers and the first rows. What cannot be told is ``None``.
"""

from __future__ import annotations

import gzip
import re
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import RunStore
from lsi_engine.samples import open_source
from lsi_engine.samples.files import files_below

#: Seconds that counting may take.
PATIENCE = 1.0
#: Files of rows up to this many bytes are read whole; of larger ones, this much of their beginning.
READ_WHOLE = 8 * 2**20
#: Dimension of the features of extractors that state none.
TEXT_DIMENSIONS = {"minilm": 384, "bert-base-uncased": 768}


@dataclass(frozen=True)
class Sizes:
    """N ``samples``, D ``dimension``, C ``classes``, each ``None`` where it cannot be told; ``said``: how it was."""

    samples: int | None
    dimension: int | None
    classes: int | None
    said: str


class _Enough(Exception):
    """Reading has taken long enough; ``total`` items are known to be there."""

    def __init__(self, total: int) -> None:
        self.total = total


def sizes(config: RunConfig, store: RunStore) -> Sizes:
    """The sizes of what ``config`` would score; raises ``InputError`` for a source that cannot be read at all."""
    known = _earlier(config, store)
    if known is not None and known.dimension is not None:
        return known
    kind = config.source["kind"]
    if known is not None:
        found = known
    elif kind == "feature_file":
        found = _feature_file(Path(config.source["path"]), config.source.get("first"))
    elif kind in ("table", "texts", "image_text_pairs") and Path(config.source["path"]).is_file():
        found = _rows(config.source)
    else:
        found = _opened(config.source)
    if found.dimension is None or config.extractor is not None:
        found = replace(found, dimension=_dimension(config.extractor, found.samples))
    return found


def _earlier(config: RunConfig, store: RunStore) -> Sizes | None:
    """As a finished run on the same source had them, with D where its features were the same."""
    best = None
    for run in store.runs():
        if not run.complete or run.config.source != config.source or run.config.derived_from:
            continue
        facts = run.provenance["engine"]
        if not {"samples", "dimension", "classes"} <= facts.keys():
            continue
        found = Sizes(facts["samples"], None, facts["classes"], f"as in run {run.name}")
        if run.config.extractor == config.extractor:
            return replace(found, dimension=facts["dimension"])
        best = best or found
    return best


def _opened(source: dict[str, Any]) -> Sizes:
    """The source read; where that takes too long, the files it announced and the classes their folders tell."""
    started = time.monotonic()

    def watch(stage: str, done: int, total: int) -> None:
        if time.monotonic() - started > PATIENCE:
            raise _Enough(total)

    try:
        samples = open_source(source, progress=watch)
    except _Enough as enough:
        classes = _classes_by_name(source)
        return Sizes(enough.total or None, None, classes, "counted by file names")
    dimension = None if samples.features is None else samples.features.shape[1]
    if samples.modality == "pairs":
        return Sizes(len(samples), None, samples.table["group"].nunique(), "counted")
    return Sizes(len(samples), dimension, samples.table["label"].nunique(), "counted")


def _classes_by_name(source: dict[str, Any]) -> int | None:
    fixed = {"cifar10": 10, "cifar100": 100, "pneumonia": 3}
    if source["kind"] in fixed:
        return fixed[source["kind"]]
    if (
        "labels_csv" in source
        or "label_field" in source
        or source["kind"] not in ("image_folder", "wordnet_folder", "dicom_folder", "texts")
    ):
        return None
    root = Path(source.get("root", source.get("path", ""))) / source.get("split", "")
    pattern = re.compile(source["label_pattern"]) if "label_pattern" in source else None
    started, found = time.monotonic(), set()
    for path in files_below(root, []):
        match = pattern.search(path.rsplit("/", 1)[-1]) if pattern else None
        if pattern is None and "/" in path:
            found.add(path.split("/", 1)[0])
        elif match is not None:
            found.add(next((group for group in match.groups() if group), match[0]))
        elif "label_default" in source:
            found.add(source["label_default"])
        if time.monotonic() - started > PATIENCE:
            break
    return len(found) if len(found) > 1 else None


def _feature_file(path: Path, first: int | None) -> Sizes:
    """From the arrays' headers and the labels; the features themselves are not read."""
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive, archive.open("features.npy") as stored:
                shape = _header_shape(stored)
            with np.load(path, allow_pickle=False) as arrays:
                labels: Iterable[Any] = arrays["labels"].tolist()
        elif path.suffix.lower() == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            labels = np.load(path.with_name(f"{path.stem}.labels.npy"), allow_pickle=False).tolist()
        else:
            return _opened({"kind": "feature_file", "path": str(path), "images": ""})
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as features and labels: {error}") from error
    if len(shape) != 2:
        raise InputError(f"{path}: features must be a matrix (samples, features), not of shape {shape}")
    kept = list(labels)[:first]
    return Sizes(min(shape[0], first or shape[0]), shape[1], len(set(kept)), "from the file's header")


def _header_shape(stored: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stored)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stored)[0]


def _rows(source: dict[str, Any]) -> Sizes:
    """A file of rows, read whole if it is small, else its beginning and how much of the file that is."""
    path = Path(source["path"])
    if source["kind"] == "image_text_pairs" or path.stat().st_size <= READ_WHOLE or path.suffix == ".parquet":
        return _opened(source)
    with path.open("rb") as raw, gzip.open(raw) as unpacked:
        stream: Any = unpacked if path.suffix.lower() == ".gz" else raw
        beginning = stream.read(READ_WHOLE)
        share = raw.tell() / path.stat().st_size
    ends = beginning.rfind(b"\n")
    suffix = "".join(path.suffixes[-2:]).lower().removesuffix(".gz")
    with tempfile.NamedTemporaryFile(suffix=suffix) as part:
        part.write(beginning[: ends + 1] if ends > 0 else beginning)
        part.flush()
        found = _opened({**source, "path": part.name})
    if found.samples is None:
        return found
    return replace(found, samples=round(found.samples / min(share, 1.0)), said="from the file's beginning")


def _dimension(extractor: dict[str, Any] | None, samples: int | None) -> int | None:
    """D of an extractor's features; of a pair of extractors, of both together."""
    if extractor is None:
        return None
    kind = extractor["kind"]
    if kind == "pair":
        both = [_dimension(extractor[side], samples) for side in ("image", "text")]
        return None if None in both else sum(each for each in both if each)
    if kind == "pixels":
        return 3 * int(extractor.get("image_size", 32)) ** 2
    if kind == "torchvision":
        from lsi_engine.features.torchvision_backbone import feature_dimension

        return feature_dimension(extractor["backbone"])
    if kind == "tfidf":
        from lsi_engine.features.tfidf import usual_components

        return None if samples is None else extractor.get("components") or usual_components(samples)
    return TEXT_DIMENSIONS.get(extractor["model"])
