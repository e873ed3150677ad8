"""The options of scoring, stated once: what each is called, takes, means, and which methods it belongs to.

:class:`ScoreSettings` is what ``score()`` takes beside data, what a run records, what ``lsi compute`` offers and what
the Runs page asks for. Field metadata (``json_schema_extra``): ``label`` for forms, ``methods`` that read the option.
Importing this module costs nothing: no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lsi_engine.errors import InputError, one_of

Hessian = Literal["diag", "kron", "full", "auto"]
Structure = Literal["diag", "kron", "full"]
LooPrior = Literal["rescaled", "fixed"]
Scaling = Literal["none", "standardize"]
Method = Literal["closed_form", "trajectory", "retrain"]
Precision = Literal["auto", "float32", "float64"]

METHODS: tuple[Method, ...] = get_args(Method)
#: Of the fit, relative to one sample's gradient: with 1e-3 an LSI was 17 % off on sixty samples of three classes.
MOST_TOLERANCE = 1e-6
#: The paper's weight decay, and the least that ``auto`` tries.
FIRST_WEIGHT_DECAY = 0.01
#: Seeds that ``seeds=k`` stands for begin here, as in the paper's code.
FIRST_SEED = 5


def option(default: Any, label: str, help: str, *methods: Method) -> Any:
    """A field that people set; ``methods`` are those that read it, all of them when none is named."""
    return Field(
        default=default, description=help, json_schema_extra={"label": label, "methods": [*(methods or METHODS)]}
    )


class ScoreSettings(BaseModel):
    """How samples are scored. The defaults are those of :func:`lsi_engine.score`; its docstring says more of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = option("closed_form", "Method", "Closed form at the optimum, or probes trained as in the paper.")
    hessian: Hessian = option(
        "diag",
        "Hessian",
        "Structure of the posterior's precision. diag: the paper's default; full: the exact one; kron: factored, for "
        "many classes; auto: full where it fits in memory.",
    )
    weight_decay: float | Literal["auto"] = option(
        FIRST_WEIGHT_DECAY,
        "Weight decay",
        "wd in mean cross-entropy + wd/2·‖θ‖²; 'auto': the one from 0.01 to 3 with the lowest leave-one-out log loss "
        "(closed form only).",
    )
    feature_scaling: Scaling = option(
        "none", "Feature scaling", "How features are scaled for the probe. Changes LSI; recorded with the run."
    )
    prior_precision: float | Literal["weight_decay"] = option(
        "weight_decay",
        "Prior precision",
        "δ of the posterior: 'weight_decay' (N·wd, what was trained) or a number (the paper's code: 1.0).",
    )
    loo_prior: LooPrior = option(
        "rescaled",
        "Prior without the sample",
        "rescaled: (N − 1)·wd, the mean over what is left (the paper); fixed: N·wd, as with the sample.",
        "closed_form",
    )
    probe: Literal["linear"] | int = option(
        "linear", "Hidden units", "Width of a hidden ReLU layer; 0 for the linear probe.", "retrain"
    )
    learning_rate: float = option(0.04, "Learning rate", "Of full-batch Nesterov descent.", "trajectory", "retrain")
    momentum: float = option(0.9, "Momentum", "Nesterov's.", "trajectory", "retrain")
    epochs: int = option(1000, "Epochs", "Full-batch steps.", "trajectory", "retrain")
    seeds: int | list[int] = option(
        1,
        "Seeds",
        "Trainings from different initial weights; their agreement is reported.",
        "trajectory",
        "retrain",
    )
    score_epochs: list[int] = option([], "Score at epochs", "Epochs at which retrain also takes LSI.", "retrain")
    precision: Precision = option(
        "auto", "Precision", "Of the large products; auto: float64 where that costs seconds at most.", "closed_form"
    )
    tolerance: float = option(
        1e-10, "Tolerance", "Of the fit's gradient norm, relative to one sample's gradient.", "closed_form"
    )
    device: str | None = option(None, "Device", "torch device for the engine, such as cuda; the CPU when not given.")

    @property
    def hidden(self) -> int | None:
        """Width of the hidden layer, ``None`` for a linear probe."""
        return None if self.probe == "linear" else int(self.probe)

    @property
    def seed_list(self) -> list[int]:
        """The seeds themselves."""
        return check_seeds(self.seeds)

    def check(self) -> None:
        """Raise ``InputError`` for settings that exclude each other or make no sense, saying what to change.

        All that can be said without data is said here, before anything is read or computed.
        """
        for name in ("method", "hessian", "feature_scaling", "loo_prior", "precision"):
            one_of(name, getattr(self, name), get_args(ScoreSettings.model_fields[name].annotation))
        check_weight_decay(self.weight_decay, self.method)
        check_prior(self.prior_precision)
        check_tolerance(self.tolerance)
        decay = FIRST_WEIGHT_DECAY if self.weight_decay == "auto" else self.weight_decay
        check_descent(self.learning_rate, self.momentum, self.epochs, decay)
        self._check_probe()
        if self.method == "closed_form":
            if len(self.seed_list) > 1:
                raise InputError("the optimum that closed_form scores depends on no seed; leave seeds at 1")
        else:
            self._check_trained()
        if self.score_epochs and self.method != "retrain":
            raise InputError(f"score_epochs are taken while retraining; method {self.method!r} scores the end alone")
        wrong = [epoch for epoch in self.score_epochs if not 1 <= epoch <= self.epochs]
        if wrong:
            raise InputError(f"score_epochs names epoch {wrong[0]}, but training has epochs 1 to {self.epochs}")

    def _check_probe(self) -> None:
        if self.probe == "linear":
            return
        if isinstance(self.probe, bool) or not isinstance(self.probe, int | np.integer) or self.probe < 1:
            raise InputError(f"probe {self.probe!r} is neither 'linear' nor the width of a hidden layer")
        if self.method != "retrain":
            raise InputError(f"a probe with a hidden layer has no {self.method}: use method='retrain'")

    def _check_trained(self) -> None:
        check_seeds(self.seeds)
        if self.loo_prior != "rescaled":
            raise InputError(f"method {self.method!r} trains on the mean loss, so loo_prior can only be 'rescaled'")
        if self.hessian == "auto":
            raise InputError(f"hessian='auto' chooses for the closed form; method {self.method!r} needs one by name")
        if self.hessian == "kron" and self.hidden is not None:
            raise InputError("hessian='kron' goes with linear probes; choose 'diag' or 'full' for a hidden layer")


def check_weight_decay(weight_decay: float | Literal["auto"], method: Method) -> None:
    """Raise ``InputError`` for a weight decay that is neither positive and finite nor, of closed forms, ``"auto"``."""
    if weight_decay == "auto":
        if method != "closed_form":
            raise InputError(
                f"weight_decay='auto' is chosen by the closed form; method {method!r} needs a number (paper: 0.01)"
            )
    elif isinstance(weight_decay, str) or not (math.isfinite(weight_decay) and weight_decay > 0):
        raise InputError(
            f"weight_decay is {weight_decay}; the optimum needs a positive, finite one (paper: 0.01), or 'auto'"
        )


def check_prior(prior_precision: float | Literal["weight_decay"]) -> None:
    """Raise ``InputError`` for a δ that is neither ``"weight_decay"`` nor positive and finite."""
    if prior_precision != "weight_decay" and not (math.isfinite(prior_precision) and prior_precision > 0):
        raise InputError(f"prior_precision is {prior_precision}; it must be positive and finite, or 'weight_decay'")


def check_tolerance(tolerance: float) -> None:
    """Raise ``InputError`` for a tolerance of the fit with which LSI would be off by more than about a per mille.

    It is relative to one sample's gradient, so at 1 the fit may stop as far from its optimum as a sample moves it.
    """
    if not (math.isfinite(tolerance) and 0 < tolerance <= MOST_TOLERANCE):
        raise InputError(
            f"tolerance is {tolerance:g}; it must be positive and at most {MOST_TOLERANCE:g} of one sample's gradient, "
            "which is what leaving that sample out is measured by (usual: 1e-10)"
        )


def check_descent(learning_rate: float, momentum: float, epochs: int, weight_decay: float) -> None:
    """Raise ``InputError`` for settings of a training that cannot be carried out."""
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"learning_rate is {learning_rate}; it must be positive and finite (paper: 0.04)")
    if not 0 <= momentum < 1:
        raise InputError(f"momentum is {momentum}; it must lie in 0 ≤ momentum < 1 (paper: 0.9)")
    if isinstance(epochs, bool) or int(epochs) != epochs or epochs < 1:
        raise InputError(f"epochs is {epochs}; a whole number of at least 1 is needed (paper: 1000)")
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise InputError(f"weight_decay is {weight_decay}; it must be at least 0 and finite (paper: 0.01)")


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """``k`` → k seeds from ``FIRST_SEED`` on; a sequence as it is. Raises ``InputError`` for none or repeated ones."""
    if isinstance(seeds, int | np.integer):
        seeds = range(FIRST_SEED, FIRST_SEED + int(seeds))
    chosen = [int(seed) for seed in seeds]
    if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0:
        raise InputError(f"seeds {chosen}: at least one, none twice, none negative")
    return chosen


def read_prior(text: str) -> float | Literal["weight_decay"]:
    """δ as people write it. Raises ``InputError`` for what is no number."""
    if text in ("", "weight_decay"):
        return "weight_decay"
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r}: give a number or 'weight_decay'") from None


def read_weight_decay(text: str | float) -> float | Literal["auto"]:
    """wd as people write it. Raises ``InputError`` for what is no number."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r}: give a number or 'auto'") from None


def read_epochs(text: str) -> list[int]:
    """Epochs with commas between them; none for an empty text. Raises ``InputError``."""
    return _whole_numbers(text, ",")


def read_rows(text: str) -> tuple[int, int] | int | float | None:
    """Which rows to leave out: ``FIRST:END``, how many, or which share (``0.05`` or ``5 %``); all for an empty text.

    Raises ``InputError``.
    """
    if not text:
        return None
    if ":" not in text:
        try:
            number = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
        except ValueError:
            number = 0.0
        if 0 < number < 1:
            return number
        if number >= 1 and number == int(number):
            return int(number)
        raise InputError(f"{text!r}: give FIRST:END, how many rows, or their share between 0 and 1")
    ends = _whole_numbers(text, ":")
    if len(ends) != 2 or not 0 <= ends[0] < ends[1]:
        raise InputError(f"{text!r}: give the first row and the one after the last, such as 0:50")
    return ends[0], ends[1]


def _whole_numbers(text: str, separator: str) -> list[int]:
    try:
        return [int(part) for part in text.split(separator)] if text else []
    except ValueError:
        raise InputError(f"{text!r}: give whole numbers with {separator!r} between them") from None


#: How fields are read that people write as text, or as a number that stands for something else. Messages begin with
#: what was written: whoever asked puts the name in front under which it was asked for.
READ: dict[str, Callable[[Any], Any]] = {
    "weight_decay": read_weight_decay,
    "prior_precision": read_prior,
    "probe": lambda width: width or "linear",
    "score_epochs": read_epochs,
    "left_out": read_rows,
    "scores": lambda given: (
        [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else list(given)
    ),
    "device": lambda text: text or None,
}
