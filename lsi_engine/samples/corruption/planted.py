"""Samples that were not there: copies of others, exact or nearly so, and images from somewhere else.

They stand behind the source's own samples, with ``position`` -1, so that no exported index points at them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.samples.corruption.images import derived, require_images
from lsi_engine.samples.corruption.kind import ANY, CLASSES, FEW, SEED, Corruption
from lsi_engine.samples.corruption.record import begun, chosen, generator, level, record, share
from lsi_engine.samples.files import UnreadableMedia, content_key, files_below, read_file
from lsi_engine.samples.images.decoding import identify
from lsi_engine.samples.media import outside
from lsi_engine.samples.sample_set import SampleSet, opaque_id, skipped_table
from lsi_engine.samples.setting import Setting


def exact_duplicates(samples: SampleSet, rate: float = 0.05, classes: Any = None, seed: int = 0) -> SampleSet:
    """Add a copy of ``round(rate * n)`` of the n samples of ``classes``; ``duplicate_of`` names the original."""
    copies, rows, features = _copies(samples, rate, classes, seed, "exact")
    return plant(samples, copies, "exact_duplicates", None if features is None else features[rows])


def near_duplicates(
    samples: SampleSet, rate: float = 0.05, severity: int = 2, classes: Any = None, seed: int = 0
) -> SampleSet:
    """As :func:`exact_duplicates`, but each copy differs a little.

    An image loses ``severity`` % of its edges, becomes a shade brighter and is compressed again; samples that are
    nothing but features get noise of ``severity`` % of each feature's standard deviation.
    """
    level(severity, "near_duplicates")
    copies, rows, features = _copies(samples, rate, classes, seed, "near")
    if features is None:
        require_images(samples, "near_duplicates")
        copies = derived(copies, range(len(copies)), "near_duplicate", severity, seed)
        return plant(samples, copies, f"near_duplicates {severity}", None)
    normal = generator(seed, "near_duplicates noise").standard_normal((len(rows), features.shape[1]))
    noise = normal * features.std(axis=0) * severity / 100
    return plant(samples, copies, f"near_duplicates {severity}", (features[rows] + noise).astype(features.dtype))


def _copies(
    samples: SampleSet, rate: Any, classes: Any, seed: int, kind: str
) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.floating] | None]:
    rows = np.sort(chosen(samples, rate, classes, generator(seed, f"{kind}_duplicates")))
    copies = samples.table.iloc[rows].reset_index(drop=True)
    copies["duplicate_of"] = copies["sample_id"]
    copies["name"] = pd.Series([f"{name} (copy)" for name in copies["name"]], dtype="str")
    ids = [opaque_id(f"{kind} copy {seed} of {original}".encode()) for original in copies["sample_id"]]
    copies["sample_id"] = pd.Series(ids, dtype="str")
    return copies, rows, samples.features


def outliers(samples: SampleSet, folder: str | Path, rate: float = 0.01, seed: int = 0) -> SampleSet:
    """Add ``round(rate * N)`` images from ``folder``, each labelled with a class drawn at random.

    No label of the dataset is right for them, so their ``true_label`` is "". Files that are no image are listed in
    ``skipped``. Raises ``InputError`` when the folder has too few images.
    """
    require_images(samples, "outliers")
    root = Path(str(folder)).expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"outliers: {root} is not a folder")
    count, random = round(share(rate) * len(samples)), generator(seed, "outliers")
    skipped: list[tuple[str, str]] = []
    # Through the same reader as everything else: nothing outside the folder is opened, nothing but images is taken.
    found = sorted(files_below(root, skipped))
    labels = np.array(sorted(samples.table["label"].unique()), dtype=object)
    rows: list[dict[str, str]] = []
    for path in (found[index] for index in random.permutation(len(found))):
        if len(rows) == count:
            break
        try:
            payload = read_file({"root": str(root)}, path)
            identify(payload)
        except UnreadableMedia as reason:
            skipped.append((path, str(reason)))
            continue
        rows.append(
            {
                "sample_id": opaque_id(b"outlier " + os.fsencode(path)),
                "label": str(random.choice(labels)),
                "name": path,
                "media": outside(root, path),
                "content": content_key(payload),
            }
        )
    if len(rows) < count:
        raise InputError(f"outliers: {root} has {len(rows)} usable images, {count} are wanted; lower the rate")
    planted = pd.DataFrame(rows, columns=["sample_id", "label", "name", "media", "content"], dtype="str")
    samples = replace(samples, skipped=pd.concat([samples.skipped, skipped_table(skipped)], ignore_index=True))
    return plant(samples, planted.assign(true_label=pd.Series("", index=planted.index, dtype="str")), "outliers", None)


def plant(samples: SampleSet, added: pd.DataFrame, what: str, features: NDArray[np.floating] | None) -> SampleSet:
    """``samples`` with the rows of ``added`` behind them, recorded as ``what``."""
    before = begun(samples.table).drop(columns="corrupted", errors="ignore")
    if "position" not in before:
        before = before.assign(position=np.arange(len(before)))
    added = added.drop(columns="corrupted", errors="ignore").assign(
        position=-1, true_label=added.get("true_label", added["label"])
    )
    table = pd.concat([before, added], ignore_index=True)
    lacking = table.columns[table.isna().any()]  # columns of text that only one of the two has
    table[lacking] = table[lacking].fillna("").astype("str")
    rows = np.arange(len(before), len(table))
    return replace(
        samples,
        table=record(table, rows, what),
        features=None if features is None or samples.features is None else np.concatenate([samples.features, features]),
    )


EXACT_DUPLICATES = Corruption(
    "exact_duplicates",
    exact_duplicates,
    "media",
    ANY,
    "copies planted beside their originals",
    (FEW, CLASSES, SEED),
)
NEAR_DUPLICATES = Corruption(
    "near_duplicates",
    near_duplicates,
    "media",
    ("image", "features"),
    "slightly different copies planted beside their originals",
    (FEW, Setting("severity", "level", "how much they differ", 2), CLASSES, SEED),
)
OUTLIERS = Corruption(
    "outliers",
    outliers,
    "media",
    ("image",),
    "images of another folder planted under random labels",
    (
        Setting("folder", "path", "folder of images that do not belong here"),
        Setting("rate", "share", "as a share of the dataset's samples", 0.01),
        SEED,
    ),
)
