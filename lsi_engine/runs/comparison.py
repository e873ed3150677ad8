"""Runs side by side: on the samples they share, and datasets on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.runs.store import Run
from lsi_engine.scores import registry

#: Resamples behind the interval of a class's shift.
RESAMPLES = 300
INTERVAL = (0.025, 0.975)
#: Samples of a class that one resample draws, at the most.
MOST_DRAWN = 5000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Comparison:
    """Two or more runs on the samples that all of them have.

    Attributes
    ----------
    runs
        Names, in the order given.
    frames
        ``Run.scores()`` of each, cut to the shared samples, all in the first run's order.
    missing
        By run: how many of its samples another run lacks.
    """

    runs: list[str]
    frames: dict[str, pd.DataFrame]
    missing: dict[str, int]

    def __len__(self) -> int:
        return len(self.frames[self.runs[0]])

    def correlations(self) -> pd.DataFrame:
        """Spearman rank correlation of every measure of every run with every other.

        Square, labelled ``(run, measure)`` both ways; measures that a run lacks, or that are the same for every
        sample, are left out.
        """
        columns = {}
        for name, frame in self.frames.items():
            for column in registry.comparing(frame):
                values = frame[column.name].to_numpy(dtype=np.float64)
                if np.isfinite(values).all() and np.ptp(values) > 0:
                    columns[name, column.name] = values
        runs, measures = zip(*columns, strict=True) if columns else ((), ())
        labels = pd.MultiIndex.from_arrays([list(runs), list(measures)], names=["run", "measure"])
        table = pd.DataFrame(dict(enumerate(columns.values()))).corr("spearman").to_numpy()
        return pd.DataFrame(table, index=labels, columns=labels)

    def shifts(self, first: str, second: str, measure: str = "lsi") -> pd.DataFrame:
        """How far each sample moved in the ranking from run ``first`` to ``second``, the farthest first.

        Columns ``sample_id, name, label_first, label_second, first, second`` (scores), ``percentile_first``,
        ``percentile_second`` (0 the lowest, 100 the highest of the shared samples) and ``shift``, their difference.
        """
        a, b = self.frames[first], self.frames[second]
        table = pd.DataFrame(
            {
                "sample_id": a["sample_id"],
                "name": a.get("name", ""),
                "label_first": a["label"].astype("str"),
                "label_second": b["label"].astype("str"),
                "first": a[measure].to_numpy(dtype=np.float64),
                "second": b[measure].to_numpy(dtype=np.float64),
            }
        )
        for which in ("first", "second"):
            table[f"percentile_{which}"] = 100 * (table[which].rank() - 1) / max(len(table) - 1, 1)
        table["shift"] = table["percentile_second"] - table["percentile_first"]
        order = np.argsort(-table["shift"].abs().to_numpy(), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def class_shift(self, first: str, second: str, measure: str = "lsi", seed: int = 0) -> pd.DataFrame:
        """Median score by class (as labelled in ``first``) in both runs.

        Columns ``label, n, first, second, ratio, low, high``: ``ratio`` is second / first with its 95 % bootstrap
        interval over the class's samples, the same ones drawn from both runs.
        """
        a, b = (self.frames[name][measure].to_numpy(dtype=np.float64) for name in (first, second))
        labels = self.frames[first]["label"].astype("str").to_numpy()
        random = np.random.default_rng(seed)
        rows = []
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            size = min(len(members), MOST_DRAWN)
            drawn = members[random.integers(0, len(members), (RESAMPLES, size))]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.median(b[drawn], axis=1) / np.median(a[drawn], axis=1)
                medians = float(np.median(a[members])), float(np.median(b[members]))
                ratio = float(np.float64(medians[1]) / medians[0])
                # Of m drawn out of n the spread is that of m samples: √(m/n) of it is that of n.
                logs = np.log(ratio) + np.sqrt(size / len(members)) * (np.log(ratios) - np.log(ratio))
            if size == len(members):
                low, high = np.quantile(ratios, INTERVAL) if np.isfinite(ratios).all() else (np.nan, np.nan)
            else:
                low, high = np.exp(np.quantile(logs, INTERVAL)) if np.isfinite(logs).all() else (np.nan, np.nan)
            rows.append((label, len(members), *medians, ratio, float(low), float(high)))
        return pd.DataFrame(rows, columns=["label", "n", "first", "second", "ratio", "low", "high"])


def compare(frames: Mapping[str, pd.DataFrame]) -> Comparison:
    """Align the scores of two or more runs by sample id.

    Raises ``InputError`` for fewer than two runs and for runs that share fewer than two samples.
    """
    names = list(frames)
    if len(names) < 2:
        raise InputError("a comparison needs at least two different runs")
    ids = [pd.Index(frame["sample_id"].astype("object")) for frame in frames.values()]
    shared = ids[0]
    for other in ids[1:]:
        shared = shared[shared.isin(other)]
    if len(shared) < 2:
        raise InputError(f"runs {', '.join(names)} share {len(shared)} sample(s): nothing to compare sample by sample")
    aligned = {
        name: frame.iloc[index.get_indexer(shared)].reset_index(drop=True)
        for (name, frame), index in zip(frames.items(), ids, strict=True)
    }
    return Comparison(names, aligned, {name: len(frame) - len(shared) for name, frame in frames.items()})


def difficulty(runs: Sequence[Run]) -> pd.DataFrame:
    """Runs of any datasets on one axis: quantiles of LSI, and what decides whether they may be compared.

    Columns ``run, dataset, samples, classes, p5, p25, p50, p75, p95`` (nats), ``information`` (the sum over samples),
    ``accuracy`` (of the probe trained without the sample; of pairs, how many prefer each other to all others),
    ``settings`` (features, scaling and weight decay: equal
    settings compare) and ``reliability``.
    """
    rows = []
    for run in runs:
        scores, facts = run.scores(), run.provenance
        if run.modality == "pairs":
            right = scores["margin"] > 0  # image and caption prefer each other to everybody else
        else:
            right = scores["loo_predicted_label"].astype("str") == scores["label"].astype("str")
        values = np.quantile(scores["lsi"], QUANTILES)
        rows.append(
            {"run": run.name, "dataset": facts.get("dataset", ""), "samples": len(scores), "classes": len(run.classes)}
            | {f"p{round(100 * q)}": float(value) for q, value in zip(QUANTILES, values, strict=True)}
            | {"information": float(scores["lsi"].sum()), "accuracy": float(right.mean())}
            | {"settings": settings(run), "reliability": reliability(run)}
        )
    return pd.DataFrame(rows)


def settings(run: Run) -> str:
    """What LSI values must share to be compared across datasets, in one line."""
    config = run.config
    extractor = config.extractor or {"kind": "own features"}
    sides = [extractor["image"], extractor["text"]] if extractor["kind"] == "pair" else [extractor]
    features = " + ".join(str(side.get("backbone") or side.get("model") or side["kind"]) for side in sides)
    return f"{features}, {config.feature_scaling}, wd {run.weight_decay:g}, {config.hessian}"


def reliability(run: Run) -> float | None:
    """Mean Spearman correlation of LSI between the run's seeds; ``None`` for a run without several."""
    engine: dict[str, Any] = run.provenance.get("engine") or {}
    agreed = engine.get("seed_spearman")
    return None if agreed is None else float(agreed["mean"])


def pairwise_agreement(table: pd.DataFrame, measure: str) -> dict[tuple[str, str], float]:
    """Spearman of one measure between each two runs, from :meth:`Comparison.correlations`."""
    runs = [run for run, name in table.index if name == measure]
    return {(a, b): float(table.loc[(a, measure), (b, measure)]) for a, b in combinations(runs, 2)}


def corrupted_rows(frames: Mapping[str, pd.DataFrame]) -> NDArray[np.bool_] | None:
    """``(N,)`` bool of aligned frames: corrupted in any run that knows about corruption; ``None`` if none does."""
    known = [frame["corrupted"].to_numpy(dtype=bool) for frame in frames.values() if "corrupted" in frame]
    return np.logical_or.reduce(known) if known else None
