"""Which settings go together: said once, before anything is read or computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lsi_engine.errors import InputError, one_of
from lsi_engine.scores.seeds import check_seeds
from lsi_engine.training.descent import SgdSettings


class Combination(NamedTuple):
    """``hidden``: width of the hidden layer, ``None`` for a linear probe. ``seeds``: the seeds themselves."""

    hidden: int | None
    seeds: list[int]
    settings: SgdSettings


def check_combination(
    *,
    method: str,
    hessian: str,
    probe: Literal["linear"] | int,
    weight_decay: float,
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    loo_prior: str = "rescaled",
    seeds: int | Sequence[int] = 1,
    score_epochs: Sequence[int] = (),
    learning_rate: float = 0.04,
    momentum: float = 0.9,
    epochs: int = 1000,
) -> Combination:
    """What :func:`lsi_engine.score` can check without data; raises ``InputError`` saying what to change."""
    one_of("method", method, ("closed_form", "trajectory", "retrain"))
    one_of("hessian", hessian, ("diag", "kron", "full", "auto"))
    one_of("loo_prior", loo_prior, ("rescaled", "fixed"))
    if not (np.isfinite(weight_decay) and weight_decay > 0):
        raise InputError(f"weight_decay is {weight_decay}; the optimum needs a positive, finite one (paper: 0.01)")
    if prior_precision != "weight_decay" and not (math.isfinite(prior_precision) and prior_precision > 0):
        raise InputError(f"prior_precision is {prior_precision}; it must be positive and finite, or 'weight_decay'")
    hidden = None
    if probe != "linear":
        if isinstance(probe, bool) or not isinstance(probe, int | np.integer) or probe < 1:
            raise InputError(f"probe {probe!r} is neither 'linear' nor the width of a hidden layer")
        if method != "retrain":
            raise InputError(f"a probe with a hidden layer has no {method}: use method='retrain'")
        hidden = int(probe)
    chosen, settings = check_seeds(seeds), SgdSettings(learning_rate, momentum, epochs, weight_decay)
    if method == "closed_form":
        if len(chosen) > 1:
            raise InputError("the optimum that closed_form scores depends on no seed; leave seeds at 1")
    else:
        if loo_prior != "rescaled":
            raise InputError(f"method {method!r} trains on the mean loss, so loo_prior can only be 'rescaled'")
        if hessian == "auto":
            raise InputError(f"hessian='auto' chooses for the closed form; method {method!r} needs one by name")
        if hessian == "kron" and hidden is not None:
            raise InputError("hessian='kron' goes with linear probes; choose 'diag' or 'full' for a hidden layer")
    if score_epochs and method != "retrain":
        raise InputError(f"score_epochs are taken while retraining; method {method!r} scores the end alone")
    wrong = [epoch for epoch in score_epochs if not 1 <= epoch <= epochs]
    if wrong:
        raise InputError(f"score_epochs names epoch {wrong[0]}, but training has epochs 1 to {epochs}")
    return Combination(hidden, chosen, settings)
