"""Which part of a run's data trains best: computed on demand and kept in ``<run>/subsets``.

``trainings.parquet`` has one row a training (:class:`lsi_engine.studies.learnability.Learnability`), ``facts.json``
how they came about; the facts go last and name the table they belong to. ``status.json`` is the process's own.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.files import replacing, write_json
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run

REPEATS, HELD_OUT, MOST_ROWS = 3, 0.2, 20_000
CONFIDENCE = 0.95
#: Of a comparison, in fits of the run itself, at the same number of rows: all its fits on parts (measured).
FITS_WORTH = 25


@dataclass(frozen=True)
class Subsets:
    """``table``: one row a training. ``facts``: settings, sizes, notes, and whose scores it belongs to."""

    table: pd.DataFrame
    facts: dict[str, Any]

    def summary(self) -> pd.DataFrame:
        """One row a subset: ``family, rule, share, rows``, means over the repeats and what they are compared with.

        ``train_accuracy`` and ``test_accuracy`` with ``_low`` and ``_high``, the extremes over the repeats.
        ``against_all`` and ``against_random``: mean paired differences of the test accuracy to the whole training part
        and to random samples of the same share, each with ``_low`` and ``_high``: 95 % intervals of Student's t for
        repeated hold-out, whose variance counts the overlap of the training parts (Nadeau and Bengio, 2003). NaN where
        there is nothing to compare with, or a single repeat.
        """
        ratio = float(np.mean(np.divide(self.facts["test_rows"], self.facts["train_rows"])))
        finest = 1 / float(np.mean(self.facts["test_rows"]))
        grouped = self.table.groupby(["family", "rule", "share"], sort=False)
        tests: dict[Any, pd.Series] = {name: group.set_index("repeat")["test_accuracy"] for name, group in grouped}
        whole = tests["all", "all", 1.0]
        rows = []
        for (family, rule, share), group in grouped:
            row: dict[str, Any] = {"family": family, "rule": rule, "share": share, "rows": round(group["rows"].mean())}
            for name in ("train_accuracy", "test_accuracy"):
                row |= {name: group[name].mean(), f"{name}_low": group[name].min(), f"{name}_high": group[name].max()}
            own, random = tests[family, rule, share], tests.get(("kept", "random", share))
            for name, other in (("against_all", whole), ("against_random", random)):
                differences = None if other is None or other is own else own - other
                row |= _paired(name, differences, ratio, finest)
            rows.append(row)
        return pd.DataFrame(rows)


def _paired(name: str, differences: pd.Series | None, ratio: float, finest: float) -> dict[str, float]:
    """Mean of paired ``differences`` and its interval; ``ratio`` is held-out over training samples.

    ``finest`` is one held-out sample's accuracy, the least that differences are taken to scatter by: a few repeats may
    agree by chance.
    """
    from scipy.stats import t

    if differences is None:
        return {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    count, mean = len(differences), float(differences.mean())
    half = np.nan
    if count > 1:
        variance = max(float(differences.var(ddof=1)), finest**2) * (1 / count + ratio)
        half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * variance**0.5
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def subsets_folder(run: Run) -> Path:
    """Where the result is kept and the process that makes it reports."""
    return run.path / "subsets"


def unsuitable(run: Run) -> str | None:
    """Why subsets of this run cannot be compared, in plain words; ``None`` where they can."""
    wanted = "subsets are compared for runs with a linear probe on features, which is trained again in moments"
    if run.modality == "pairs":
        return f"{wanted}; {run.name} scores pairs with a contrastive probe"
    if run.config.probe != "linear":
        return f"{wanted}; the probe of {run.name} has a hidden layer of {run.config.probe}"
    return None


def stored_subsets(run: Run) -> Subsets | None:
    """What is kept for the run's present scores, or ``None``."""
    folder = subsets_folder(run)
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        content = (folder / "trainings.parquet").read_bytes()
    except FileNotFoundError:
        return None
    if facts["table"] != _digest(content) or facts["scores_fingerprint"] != run.fingerprint:
        return None
    return Subsets(pd.read_parquet(io.BytesIO(content)), facts)


def compare_subsets(
    run: Run,
    cache: Path,
    *,
    repeats: int = REPEATS,
    held_out: float = HELD_OUT,
    rows: int = MOST_ROWS,
    seed: int = 0,
    progress: Progress = silent,
) -> Subsets:
    """Train on subsets of a finished run's data with the run's own settings, and keep the result with the run.

    Held-out predictions are compared with the true label where the run knows it. An earlier result stays until the
    new one is complete. Raises ``InputError`` for a run without a linear probe, features that are gone and data too
    small to be divided.
    """
    reason = unsuitable(run)
    if reason:
        raise InputError(reason)
    from lsi_engine.studies.learnability import learnability

    scores, config = run.scores(), run.config
    progress("features", 0, 1)
    features = features_of(run, cache)
    progress("features", 1, 1)
    found = learnability(
        features,
        scores["label"],
        truth=scores.get("true_label"),
        groups=_groups(scores),
        weight_decay=run.weight_decay,
        hessian=config.hessian,
        prior_precision=config.prior_precision,
        feature_scaling="standardize" if config.feature_scaling == "standardize" else "none",
        device=config.device,
        repeats=repeats,
        held_out=held_out,
        rows=rows,
        seed=seed,
        progress=progress,
    )
    content = io.BytesIO()
    found.table.to_parquet(content, index=False)
    table = content.getvalue()
    facts = {"run": run.name, "scores_fingerprint": run.fingerprint, "table": _digest(table), **found.facts}
    with replacing(subsets_folder(run) / "trainings.parquet") as temporary:
        temporary.write_bytes(table)
    write_json(subsets_folder(run) / "facts.json", facts)
    return Subsets(found.table, facts)


def expected_seconds(run: Run, repeats: int = REPEATS, rows: int = MOST_ROWS) -> float | None:
    """About how long a comparison takes, from the time the run's own fit and scores took; ``None`` where unknown."""
    engine = run.provenance.get("engine") or {}
    spent = engine.get("seconds") or {}
    if engine.get("method") != "closed_form" or not {"fit", "scores"} <= set(spent):
        return None
    samples = int(run.provenance["samples"])
    share = min(rows, samples) / samples * (1 - HELD_OUT)
    return repeats * share * (spent["scores"] + (1 + FITS_WORTH) * spent["fit"])


def _groups(scores: pd.DataFrame) -> NDArray[np.int64] | None:
    """``(N,)`` group of each sample, one of its own where it has none; ``None`` where no group has two samples."""
    if "group" not in scores:
        return None
    named = scores["group"].astype("object")
    codes = pd.factorize(named.where(named.notna() & (named != "")))[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = len(codes) + np.arange(int(alone.sum()))
    return codes if len(np.unique(codes)) < len(codes) else None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
