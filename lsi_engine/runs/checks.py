"""Whether a configuration can be carried out, as far as that can be said before its data are read."""

from __future__ import annotations

from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunConfig
from lsi_engine.scores.combination import Combination, check_combination


def check_config(config: RunConfig) -> Combination:
    """Raise ``InputError`` for settings that exclude each other, saying what to change; else what they come to."""
    if config.pairs is not None:
        if config.feature_scaling == "standardize":
            raise InputError(
                "pairs are not standardised: a mean over all pairs would carry the left-out one into every training; "
                "use feature_scaling 'unit' or 'none'"
            )
        if config.groups != "none" or config.hessian not in ("diag", "full"):
            raise InputError("pairs are left out one at a time, with hessian 'diag' or 'full'")
    elif config.feature_scaling == "unit":
        raise InputError("feature_scaling 'unit' is for pairs; use 'standardize' or 'none'")
    if config.groups != "none" and config.hessian not in ("diag", "full"):
        raise InputError(f"groups are scored with hessian 'diag' or 'full', not {config.hessian!r}")
    return check_combination(
        method=config.method,
        hessian=config.hessian,
        probe=config.probe,
        weight_decay=config.weight_decay,
        prior_precision=config.prior_precision,
        seeds=config.seeds,
        score_epochs=config.score_epochs,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        epochs=config.epochs,
    )
