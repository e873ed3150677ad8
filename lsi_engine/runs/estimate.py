"""What a run will take, by method, before it is started: ``lsi compute … --estimate`` and the Runs page."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, cast

from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.sizes import Sizes, sizes
from lsi_engine.runs.store import RunStore
from lsi_engine.scores.cost import Cost, Task, cost, pair_cost
from lsi_engine.scores.weight_decay import GRID, MOST_ROWS
from lsi_engine.settings import FIRST_WEIGHT_DECAY, METHODS, Method

#: Rows that an earlier run must have extracted for its rate to be believed.
ENOUGH_ROWS = 32


@dataclass(frozen=True)
class Features:
    """``seconds`` of extraction, ``None`` where nobody has measured this extractor here; ``said``: how it is known."""

    seconds: float | None
    said: str


@dataclass(frozen=True)
class Estimate:
    """``costs`` by method, the chosen one among them, each with the reason where it cannot run; empty while the data's
    ``sizes`` cannot be told."""

    chosen: Method
    sizes: Sizes
    left_out: int | None
    features: Features
    costs: dict[Method, Cost]

    @property
    def seconds(self) -> float | None:
        """Of the chosen method, features included where that is known."""
        found = self.costs.get(self.chosen)
        if found is None or not math.isfinite(found.seconds):
            return None
        return found.seconds + (self.features.seconds or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: numbers that are not known are ``None``."""
        return {
            "samples": self.sizes.samples,
            "dimension": self.sizes.dimension,
            "classes": self.sizes.classes,
            "sizes": self.sizes.said,
            "left_out": self.left_out,
            "features_seconds": self.features.seconds,
            "features": self.features.said,
            "chosen": self.chosen,
            "methods": {
                name: {
                    "seconds": None if math.isnan(each.seconds) else each.seconds,
                    "needed_bytes": None if math.isnan(each.needed) else each.needed,
                    "free_bytes": each.free,
                    "refusal": each.refusal,
                }
                for name, each in self.costs.items()
            },
        }


def estimate(config: RunConfig, store: RunStore) -> Estimate:
    """Time and memory of ``config``, and of the other methods on the same data.

    Counting takes a second or two at most, measuring this machine half a second once a process. Raises ``InputError``
    for settings that cannot be carried out or a source that is not there.
    """
    config.check()
    found = sizes(config, store)
    features = _features(config, found, store)
    if found.samples is None or found.dimension is None or found.classes is None:
        return Estimate(config.method, found, None, features, {})
    rows = config.rows(found.samples)
    left_out = found.samples if rows is None else len(rows)
    if config.pairs is not None:
        task = _task(config, found, left_out)
        return Estimate("retrain", found, left_out, features, {"retrain": pair_cost(task, config.pairs["dimension"])})
    costs = {method: _alternative(config, method, found, left_out) for method in METHODS}
    return Estimate(config.method, found, left_out, features, costs)


def _alternative(config: RunConfig, method: Method, found: Sizes, left_out: int) -> Cost:
    """The same data under another method: what that method does not know is left out of its settings."""
    changes: dict[str, Any] = {"method": method}
    if method != config.method:
        changes["score_epochs"] = []
        if method == "closed_form":
            changes["seeds"] = 1
        else:
            changes["loo_prior"] = "rescaled"
            changes["weight_decay"] = FIRST_WEIGHT_DECAY if config.weight_decay == "auto" else config.weight_decay
            changes["hessian"] = "diag" if config.hessian == "auto" else config.hessian
    variant = config.model_copy(update=changes)
    try:
        variant.check()
    except InputError as error:
        return Cost(math.nan, math.nan, math.nan, str(error))
    task = _task(variant, found, left_out)
    whole = cost(task)
    if variant.weight_decay != "auto":
        return whole
    rows = min(task.samples, MOST_ROWS)
    each = cost(replace(task, samples=rows, left_out=rows, hessian="auto", unequal_prior=False))
    return replace(whole, seconds=whole.seconds + len(GRID) * each.seconds)


def _task(config: RunConfig, found: Sizes, left_out: int) -> Task:
    return Task(
        samples=cast(int, found.samples),
        dimension=cast(int, found.dimension),
        classes=cast(int, found.classes),
        left_out=left_out,
        method=config.method,
        hessian=config.hessian,
        hidden=config.hidden,
        epochs=config.epochs,
        seeds=len(config.seed_list),
        taken=len({*config.score_epochs, config.epochs}),
        unequal_prior=config.prior_precision != "weight_decay",
        device=config.device or "cpu",
    )


def _features(config: RunConfig, found: Sizes, store: RunStore) -> Features:
    """How long the features take: nothing if an earlier run left them, else at the rate that another run had here."""
    if config.extractor is None:
        return Features(0.0, "the data's own")
    wanted, rates = _kind(config.extractor), []
    for run in store.runs():
        if not run.complete or run.config.extractor is None:
            continue
        if run.config.extractor == config.extractor and run.config.source == config.source:
            return Features(0.0, f"computed already, for run {run.name}")
        facts = run.provenance
        seconds = (facts.get("timings") or {}).get("features", 0.0)
        if _kind(run.config.extractor) == wanted and facts.get("extracted", 0) >= ENOUGH_ROWS and seconds > 0:
            rates.append(facts["extracted"] / seconds)
    if not rates:
        return Features(None, "unknown until a run has used this extractor here; what is in the cache costs nothing")
    if found.samples is None:
        return Features(None, f"at {rates[0]:.3g} a second, as in an earlier run")
    return Features(found.samples / rates[0], f"at {rates[0]:.3g} a second, as in an earlier run, if none is cached")


def _kind(extractor: dict[str, Any]) -> dict[str, Any]:
    """What decides an extractor's speed: not where its weights lie."""
    return {
        key: _kind(value) if isinstance(value, dict) else value for key, value in extractor.items() if key != "weights"
    }
