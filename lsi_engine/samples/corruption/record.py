"""What every corruption shares: which samples it picks, and how it writes down what it did.

A sample table that was corrupted holds three columns more: ``true_label`` (the label before any corruption, "" where no
label of the dataset is right), ``corruption`` (what was done to the sample, in order, " + " in between, "" for nothing)
and ``corrupted`` (whether the sample now differs from what it was).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.samples.images.damage import LEVELS
from lsi_engine.samples.sample_set import SampleSet

#: Between the parts of ``corruption``.
AND = " + "
#: What ``corruption`` calls labels that were wrong in the source already, by its own ``true_label``.
GIVEN = "given_label wrong in the source"
#: Kinds that change nothing but labels.
LABEL_KINDS = frozenset({"given_label", "flip_labels", "flip_pairs", "flip_by_confusion", "human_labels"})


def share(value: Any, name: str = "rate") -> float:
    """``value`` as a share; raises ``InputError`` unless it is a number from 0 to 1."""
    number = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    if not number or not 0 <= value <= 1:
        raise InputError(f"the {name} must lie between 0 and 1, not {value!r}")
    return float(value)


def level(value: Any, what: str) -> int:
    """``value`` as a severity; raises ``InputError`` unless it is a whole number from 1 to 5."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LEVELS:
        raise InputError(f"{what}: the severity is a whole number from 1 to {LEVELS}, not {value!r}")
    return value


def generator(seed: Any, kind: str) -> np.random.Generator:
    """The random numbers of ``seed`` for one ``kind`` of corruption: of equal seeds each kind has a stream of its own.

    Two kinds in one run then fall on samples that have nothing to do with one another. Label flips, the kind that has
    an option of its own, keep the seed's plain stream, and with it every figure that was measured on them. Raises
    ``InputError`` unless ``seed`` is a whole number, 0 or greater.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"the seed must be a whole number, 0 or greater, not {seed!r}")
    own = () if kind == "flip_labels" else tuple(kind.encode())
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=own))


def class_list(samples: SampleSet, classes: Any) -> list[str]:
    """``classes`` (None, one name or several) as names that occur; raises ``InputError`` for one that does not."""
    known = sorted(samples.table["label"].unique())
    if classes is None or classes == [] or classes == ():
        return known
    several = isinstance(classes, Iterable) and not isinstance(classes, str)
    wanted = [str(name) for name in (classes if several else [classes])]
    for name in wanted:
        if name not in known:
            listed = ", ".join(map(repr, known[:12])) + (" …" if len(known) > 12 else "")
            raise InputError(f"there is no class {name!r} in {samples.name}; there are {listed}")
    return sorted(set(wanted))


def chosen(samples: SampleSet, rate: Any, classes: Any, random: np.random.Generator) -> NDArray[np.int64]:
    """Exactly ``round(rate * n)`` different rows among the n samples of ``classes``, in the order drawn."""
    labels = samples.table["label"].to_numpy(dtype=object)
    eligible = np.flatnonzero(np.isin(labels, class_list(samples, classes)))
    return eligible[random.choice(len(eligible), size=round(share(rate) * len(eligible)), replace=False)]


def begun(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with ``true_label`` and ``corruption`` as they are before the first corruption, or as they stand."""
    table = table.copy()
    if "true_label" not in table:
        table["true_label"] = table["label"]
    if "corruption" not in table:
        wrong = (table["label"] != table["true_label"]).to_numpy()
        table["corruption"] = pd.Series(np.where(wrong, GIVEN, ""), index=table.index, dtype="str")
    return table


def record(table: pd.DataFrame, rows: NDArray[Any], what: str) -> pd.DataFrame:
    """``table`` with ``what`` added to ``corruption`` of ``rows`` (numbers or mask), ``corrupted`` brought up to date.

    The first word of ``what`` is the corruption's kind. See :func:`restored` for labels that are right in the end.
    """
    table = begun(table)
    done = np.array(table["corruption"], dtype=object)
    touched = np.zeros(len(table), dtype=bool)
    touched[rows] = True
    done[touched] = [earlier + AND + what if earlier else what for earlier in done[touched]]
    return restored(table.assign(corruption=pd.Series(done, index=table.index, dtype="str")))


def restored(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with ``corruption`` and ``corrupted`` as its labels are now; a blurred image stays blurred.

    Where the label is the true one (again), what was done to labels is taken out.
    """
    table = begun(table)
    done = np.array(table["corruption"], dtype=object)
    right = (table["label"] == table["true_label"]).to_numpy()
    mended = right & (done != "")
    done[mended] = [
        AND.join(part for part in text.split(AND) if part.split(" ")[0] not in LABEL_KINDS) for text in done[mended]
    ]
    return table.assign(corruption=pd.Series(done, index=table.index, dtype="str"), corrupted=~right | (done != ""))
