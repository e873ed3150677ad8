"""Wrong labels on purpose: to any other class, to a neighbouring class, or as a confusion matrix says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.kind import ANY, CLASSES, RATE, SEED, Corruption
from lsi_engine.samples.corruption.record import begun, chosen, class_list, generator, record, share
from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.setting import Setting


def flip_labels(samples: SampleSet, rate: float, seed: int = 0, classes: Any = None) -> SampleSet:
    """Give exactly ``round(rate * n)`` samples another label, each other class being equally likely.

    Parameters
    ----------
    samples
        At least two classes.
    rate
        Share of the n samples of ``classes`` that get a wrong label, from 0 to 1.
    seed
        Same samples in the same order, same settings and same seed: same flips, on every machine.
    classes
        Names of the classes whose samples may be flipped, to any class; all when none is named.

    Returns
    -------
    The samples with new ``label`` values, and what was done to each (see :mod:`.record`). ``true_label`` is kept from
    an earlier corruption if there was one; a label that a second pass happens to restore is not corrupted.
    """
    share(rate, "rate of flipped labels")
    random = generator(seed, "flip_labels")
    samples.require_two_classes()
    names, given = np.unique(samples.table["label"].to_numpy(dtype=object), return_inverse=True)
    flipped = chosen(samples, rate, classes, random)
    # A step of 1 .. C-1 around the circle of classes reaches each other class with equal chance, never the same.
    steps = random.integers(1, len(names), size=len(flipped))
    return relabelled(samples, flipped, names[(given[flipped] + steps) % len(names)], "flip_labels")


def flip_pairs(samples: SampleSet, rate: float, seed: int = 0, classes: Any = None, to: Any = None) -> SampleSet:
    """Give exactly ``round(rate * n)`` samples the label of the class that follows theirs.

    ``to`` says what follows what: a mapping of class names, or a list of texts ``"cat>dog"``. Without it, class k
    becomes class k + 1 in sorted order and the last the first. Only classes that ``to`` names, and of these only
    ``classes``, are touched; n counts their samples. Raises ``InputError`` for a class that does not occur.
    """
    random = generator(seed, "flip_pairs")
    samples.require_two_classes()
    known = class_list(samples, None)
    follows = _mapping(samples, to) if to else dict(zip(known, [*known[1:], known[0]], strict=True))
    sources = [name for name in class_list(samples, classes) if name in follows]
    if not sources:
        raise InputError(f"none of the chosen classes is mapped to another; 'to' maps {', '.join(follows)}")
    flipped = chosen(samples, rate, sources, random)
    given = samples.table["label"].to_numpy(dtype=object)[flipped]
    return relabelled(samples, flipped, np.array([follows[name] for name in given], dtype=object), "flip_pairs")


def _mapping(samples: SampleSet, to: Any) -> dict[str, str]:
    if isinstance(to, Mapping):
        pairs = [(str(source), str(target)) for source, target in to.items()]
    else:
        texts = [to] if isinstance(to, str) else [str(text) for text in to]
        parts = [text.partition(">") for text in texts]
        if wrong := [text for text, (_, arrow, _) in zip(texts, parts, strict=True) if not arrow]:
            raise InputError(f"{wrong[0]!r} maps no class to another; write it as cat>dog")
        pairs = [(source.strip(), target.strip()) for source, _, target in parts]
    for source, target in pairs:
        class_list(samples, [source, target])
        if source == target:
            raise InputError(f"class {source!r} is mapped to itself, which changes nothing")
    return dict(pairs)


def flip_by_confusion(samples: SampleSet, matrix: Any, seed: int = 0) -> SampleSet:
    """Give each class's samples wrong labels in the shares that a confusion matrix states.

    ``matrix`` is a mapping ``{class: {other class: share}}`` or the path of a CSV file with the class names in its
    first column and first line. Of the n samples of a class, ``round(share * n)`` get each other label; what stands on
    the diagonal follows and is not read. Raises ``InputError`` for an unknown class or shares above 1 in all.
    """
    random = generator(seed, "flip_by_confusion")
    samples.require_two_classes()
    stated = matrix if isinstance(matrix, Mapping) else _read_matrix(Path(str(matrix)).expanduser())
    rows = {str(name): row for name, row in stated.items()}
    labels = samples.table["label"].to_numpy(dtype=object)
    targets = labels.copy()
    for name in class_list(samples, list(rows)) if rows else []:
        row = {str(other): value for other, value in rows[name].items() if str(other) != name}
        class_list(samples, list(row))  # names one that does not occur
        shares = [share(value, f"share of {name!r} that becomes {other!r}") for other, value in row.items()]
        members = random.permutation(np.flatnonzero(labels == name))
        counts = [round(value * len(members)) for value in shares]
        if sum(shares) > 1 + 1e-9 or sum(counts) > len(members):
            raise InputError(f"the shares of {name!r} that become another class add up to {sum(shares):.3g}, above 1")
        for other, part in zip(row, np.split(members, np.cumsum(counts)), strict=False):
            targets[part] = other
    flipped = np.flatnonzero(targets != labels)
    return relabelled(samples, flipped, targets[flipped], "flip_by_confusion")


def _read_matrix(path: Path) -> dict[str, dict[str, float]]:
    try:
        frame = pd.read_csv(path, index_col=0, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a confusion matrix in CSV: {error}") from error
    frame.index, frame.columns = frame.index.map(str), frame.columns.map(str)
    if not frame.index.is_unique or not frame.columns.is_unique:
        raise InputError(f"{path} names a class twice")
    if wrong := [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]:
        raise InputError(f"{path}: column {wrong[0]!r} holds something that is no number")
    return {str(name): {str(k): float(v) for k, v in row.items()} for name, row in frame.fillna(0.0).iterrows()}


def relabelled(samples: SampleSet, rows: NDArray[np.int64], labels: NDArray[Any], what: str) -> SampleSet:
    """``samples`` with ``labels (n,)`` at ``rows (n,)``, recorded as ``what``."""
    table = begun(samples.table)
    values = np.array(table["label"], dtype=object)
    values[rows] = labels
    table["label"] = pd.Series(values, index=table.index, dtype="str")
    return samples.with_table(record(table, rows, what))


FLIP_LABELS = Corruption(
    "flip_labels", flip_labels, "labels", ANY, "labels to any other class, equally likely", (RATE, CLASSES, SEED)
)
FLIP_PAIRS = Corruption(
    "flip_pairs",
    flip_pairs,
    "labels",
    ANY,
    "labels to the next class, or as 'to' says",
    (RATE, Setting("to", "text", "cat>dog, several separated by |; empty: the next class"), CLASSES, SEED),
)
FLIP_BY_CONFUSION = Corruption(
    "flip_by_confusion",
    flip_by_confusion,
    "labels",
    ANY,
    "labels in the shares of a confusion matrix",
    (Setting("matrix", "path", "CSV with class names in its first line and column"), SEED),
)
