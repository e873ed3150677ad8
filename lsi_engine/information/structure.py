"""Which structure the posterior's precision gets: what was asked for, or what the machine's memory allows."""

from __future__ import annotations

from typing import Literal, NamedTuple

import psutil
import torch

from lsi_engine.errors import InputError
from lsi_engine.information.memory import require_memory
from lsi_engine.information.problem import Problem

Hessian = Literal["diag", "kron", "full", "auto"]
Structure = Literal["diag", "kron", "full"]

#: ``auto`` gives the full Hessian this share of the machine's memory. The whole memory counts and not what happens to
#: be free, so that the same input on the same machine makes the same choice.
FULL_SHARE = 0.6


class Choice(NamedTuple):
    """``hessian``: the structure. ``exact_shift``: whether the shift is the full Hessian's, or the Kronecker one's.
    ``reason``: why, for people."""

    hessian: Structure
    exact_shift: bool
    reason: str


def choose(problem: Problem, hessian: Hessian) -> Choice:
    """The structure to use for the closed form.

    ``"diag"`` and ``"full"`` are always what they say, and refused where they do not fit. ``"kron"`` takes the exact
    shift where the full Hessian fits. ``"auto"`` is full where that fits, else Kronecker-factored.

    Raises
    ------
    InputError
        When what was asked for needs more memory than there is, with both figures.
    """
    objective = problem.objective
    design, reduced = objective.design, (objective.classes - 1) * objective.design.columns
    gibibytes = full_bytes(problem, hessian) / 2**30
    total = _total_memory(design.device) / 2**30
    fits = gibibytes <= FULL_SHARE * total
    figures = (
        f"a full Hessian has {reduced:,} × {reduced:,} entries ((C − 1) · (D + 1)) and needs about {gibibytes:,.1f} "
        "GiB; "
        f"{FULL_SHARE:.0%} of this machine's {total:.0f} GiB may go to it"
    )
    if hessian == "auto":
        return Choice("full", True, f"full: {figures}") if fits else Choice("kron", False, f"kron: {figures}")
    if hessian == "kron" and not fits:
        return Choice("kron", False, f"shift from the Kronecker factors: {figures}")
    require_memory(
        full_bytes(problem, hessian),
        design.device,
        f"the Hessian has {reduced:,} × {reduced:,} entries ((C − 1) · (D + 1))",
        "Choose hessian='auto' or 'kron', reduce the features' dimension (for example by PCA), or score fewer classes "
        "at a time",
    )
    return Choice(hessian, True, "as asked for")


def full_bytes(problem: Problem, hessian: Hessian) -> float:
    """Peak bytes of the closed form's K × K float64 matrices."""
    objective = problem.objective
    reduced = float((objective.classes - 1) * objective.design.columns)
    unequal = abs(problem.prior_precision - objective.ridge) > 1e-3 * objective.ridge
    # Inverting holds four; a second prior adds its own; the other structures keep a map from kicks to shifts.
    return 8 * reduced**2 * (5 if hessian in ("full", "auto") and unequal else 4)


def _total_memory(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total


def for_training(hessian: Hessian, method: str) -> Structure:
    """``hessian`` for a method that trains: it has to be named."""
    if hessian == "auto":
        raise InputError(f"hessian='auto' chooses for the closed form; method {method!r} needs one by name")
    return hessian
