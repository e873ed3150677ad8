"""Which structure the posterior's precision gets: what was asked for, or what the machine's memory allows."""

from __future__ import annotations

from typing import Literal, NamedTuple

import psutil
import torch

from lsi_engine.curvature.class_blocks import RESIDENT_BYTES, inverse_bytes
from lsi_engine.errors import InputError
from lsi_engine.numerics.memory import require_memory
from lsi_engine.settings import Hessian, Structure
from lsi_engine.training.softmax_objective import SoftmaxObjective

#: ``auto`` gives the full Hessian this share of the machine's memory. The whole memory counts and not what happens to
#: be free, so that the same input on the same machine makes the same choice.
FULL_SHARE = 0.6


class Choice(NamedTuple):
    """``hessian``: the structure. ``exact_shift``: whether the shift is the full Hessian's, or that of class blocks.
    ``reason``: why, for people. ``matrices``: peak bytes of the K × K matrices that the exact shift takes."""

    hessian: Structure | Literal["blocks"]
    exact_shift: bool
    reason: str
    matrices: float


def choose(objective: SoftmaxObjective, prior_precision: float, hessian: Hessian) -> Choice:
    """The structure to use for the closed form, of a posterior with the prior δ ``prior_precision``.

    ``"diag"`` and ``"full"`` are always what they say, and refused where they do not fit. ``"kron"`` takes the exact
    shift where the full Hessian fits, else that of one block a class. ``"auto"`` is full where that fits, else
    ``"blocks"``: one block a class for the shift and the posterior alike.

    Raises
    ------
    InputError
        When what was asked for needs more memory than there is, with both figures.
    """
    unequal = abs(prior_precision - objective.ridge) > 1e-3 * objective.ridge
    return choose_for(objective.classes, objective.design.columns, hessian, unequal, objective.design.device)


def choose_for(classes: int, columns: int, hessian: Hessian, unequal_prior: bool, device: torch.device) -> Choice:
    """:func:`choose` from sizes alone: C ``classes``, D' ``columns``, and whether δ differs from the fit's prior."""
    reduced = (classes - 1) * columns
    # Inverting holds four; a second prior adds its own; the other structures keep a map from kicks to shifts.
    matrices = 8.0 * reduced**2 * (5 if hessian in ("full", "auto") and unequal_prior else 4)
    gibibytes, total = matrices / 2**30, _total_memory(device) / 2**30
    fits = gibibytes <= FULL_SHARE * total
    figures = (
        f"a full Hessian has {reduced:,} × {reduced:,} entries ((C − 1) · (D + 1)) and needs about {gibibytes:,.1f} "
        f"GiB; {FULL_SHARE:.0%} of this machine's {total:.0f} GiB may go to it"
    )
    if hessian == "auto":
        chosen: Structure | Literal["blocks"] = "full" if fits else "blocks"
        return Choice(chosen, fits, f"{chosen}: {figures}", matrices)
    if hessian == "kron" and not fits:
        if inverse_bytes(classes, columns) > RESIDENT_BYTES:
            raise InputError(
                f"hessian='kron' holds a matrix of {columns:,} × {columns:,} for each of {classes:,} classes, more "
                f"than {RESIDENT_BYTES / 2**30:.0f} GiB; choose hessian='auto', which needs one at a time"
            )
        return Choice("kron", False, f"shift from one block of the Hessian a class: {figures}", matrices)
    require_memory(
        matrices,
        device,
        f"the Hessian has {reduced:,} × {reduced:,} entries ((C − 1) · (D + 1))",
        "Choose hessian='auto' or 'kron', reduce the features' dimension (for example by PCA), or score fewer classes "
        "at a time",
    )
    return Choice(hessian, True, "as asked for", matrices)


def _total_memory(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
