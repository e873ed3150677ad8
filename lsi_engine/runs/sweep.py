"""Runs that differ in one setting of their corruption and in nothing else: how each class moves with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lsi_engine.runs.store import Run, RunStore

#: What may differ between runs of one sweep, apart from the setting itself.
_NAMES = {"name", "corruption", "derived_from"}


@dataclass(frozen=True)
class Sweep:
    """``setting`` is what differs; ``runs`` gives each value's run, by rising value."""

    setting: str
    runs: dict[Any, str]
    table: pd.DataFrame
    """One row a value and class: ``value, label, samples, low, median, high`` (quartiles of LSI)."""


def sweep_of(run: Run, store: RunStore) -> Sweep | None:
    """The sweep that ``run`` belongs to: at least two values of one setting on the same data, otherwise alike.

    Where runs differ from this one in several settings, each alone, the setting with the most runs is taken.
    """
    same = run.config.model_dump(exclude=_NAMES)
    dataset = run.provenance.get("dataset_fingerprint")
    found: dict[str, dict[Any, Run]] = {}
    for other in store.runs():
        if other.name == run.name or not other.complete or len(other.config.corruption) != len(run.config.corruption):
            continue
        if other.config.model_dump(exclude=_NAMES) != same or other.provenance.get("dataset_fingerprint") != dataset:
            continue
        setting = _only_difference(run.config.corruption, other.config.corruption)
        if setting is not None:
            found.setdefault(setting, {})[_value(other, setting)] = other
    if not found:
        return None
    setting = max(found, key=lambda name: len(found[name]))
    runs = {**found[setting], _value(run, setting): run}
    ordered = dict(sorted(runs.items(), key=lambda item: (isinstance(item[0], str), item[0])))
    tables = [_classes(member).assign(value=value) for value, member in ordered.items()]
    columns = ["value", "label", "samples", "low", "median", "high"]
    return Sweep(
        setting,
        {value: member.name for value, member in ordered.items()},
        pd.concat(tables, ignore_index=True)[columns],
    )


def _only_difference(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str | None:
    """Name of the one setting, a number or a text, in which two lists of corruptions differ."""
    names = set()
    for one, other in zip(ours, theirs, strict=True):
        if one.get("kind") != other.get("kind"):
            return None
        names |= {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        if not all(
            isinstance(step.get(name), int | float | str) for step in (one, other) for name in names & step.keys()
        ):
            return None
    return names.pop() if len(names) == 1 and all(_having(steps, names) for steps in (ours, theirs)) else None


def _having(steps: list[dict[str, Any]], names: set[str]) -> bool:
    return any(name in step for step in steps for name in names)


def _value(run: Run, setting: str) -> Any:
    return next(step[setting] for step in run.config.corruption if setting in step)


def _classes(run: Run) -> pd.DataFrame:
    scores = pd.read_parquet(run.path / "scores.parquet", columns=["label", "lsi"])
    grouped = scores.groupby("label", observed=True)["lsi"]
    quartiles = grouped.quantile(np.array([0.25, 0.5, 0.75])).unstack()
    quartiles.columns = pd.Index(["low", "median", "high"])
    return quartiles.assign(samples=grouped.size()).reset_index()
