"""``score``: features and labels in, one row of scores a sample out."""

from __future__ import annotations

import time
import warnings
from typing import Any, Literal

import numpy as np
import psutil
import torch
from numpy.typing import ArrayLike

from lsi_engine.errors import InputError, LsiWarning
from lsi_engine.information.closed_form import LooPrior, leave_one_out
from lsi_engine.information.problem import Problem, Scaling, one_of
from lsi_engine.information.table import ScoreTable
from lsi_engine.probes.linear import fit_linear_probe
from lsi_engine.progress import Progress, silent

#: Below this many multiplications, double precision costs too little to be worth giving up.
DOUBLE_PRECISION_WORK = 4e10
#: LSI is a divergence: below −this, relative to the largest, a negative value is a fault and not rounding.
NEGATIVE_TOLERANCE = 1e-6


def score(
    features: ArrayLike | torch.Tensor,
    labels: ArrayLike | torch.Tensor,
    *,
    weight_decay: float = 0.01,
    hessian: Literal["diag", "full"] = "diag",
    method: Literal["closed_form"] = "closed_form",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    loo_prior: LooPrior = "rescaled",
    feature_scaling: Scaling = "none",
    precision: Literal["auto", "float32", "float64"] = "auto",
    device: str | torch.device | None = None,
    tolerance: float = 1e-10,
    progress: Progress = silent,
) -> ScoreTable:
    """Laplace Sample Information of every sample: KL(posterior with it ‖ posterior without it), Definition 2 of the
    paper.

    The probe is one linear softmax layer on the features, trained to the optimum of the **mean** cross-entropy +
    (weight_decay / 2)‖θ‖², bias decayed too.

    Parameters
    ----------
    features
        ``(N, D)`` numbers: NumPy array (memory-mapped ones are streamed), pandas frame or torch tensor. **Scaled only
        if asked**:
        scaling the features changes LSI.
    labels
        ``(N,)`` class labels: strings, whole numbers with or without gaps, booleans; array, pandas Series, list or
        tensor.
    weight_decay
        wd of the mean form (paper: 0.01). Must be positive.
    hessian
        Structure of the Laplace posterior's precision. ``"diag"`` (the paper's default) keeps its diagonal;
        ``"full"`` keeps everything. The leave-one-out shift always uses the full Hessian.
    method
        ``"closed_form"``: exact leave-one-out of the converged probe up to O(K/N).
    prior_precision
        δ added to the summed curvature, the same in both posteriors: ``"weight_decay"`` for N·wd (the Hessian of what
        was
        trained) or a number (the paper's reference code: 1.0 whatever wd was).
    loo_prior
        ``"rescaled"``: without the sample the loss is a mean over N − 1, so the penalty weighs (N − 1)·wd in sum form
        (the
        paper). ``"fixed"``: the penalty stays N·wd.
    feature_scaling
        ``"standardize"``: mean 0 and standard deviation 1 a column.
    precision
        Of the large matrix products. ``"auto"``: float64 where that costs seconds at most, else float32;
        factorisations, the fit's
        gradients and all differences are float64 always.
    device
        Defaults to the features' own (tensors), else the CPU.
    tolerance
        Of the fit; see :func:`lsi_engine.probes.linear.fit_linear_probe`.

    Returns
    -------
    ScoreTable
        ``to_frame()`` has one row a sample in input order. Equal input on one machine gives equal bytes.

    Raises
    ------
    InputError
        For features or labels that cannot be scored; names the row.
    NotConverged
        When the fit does not reach its optimum, where a closed form would be wrong.

    Warns
    -----
    LsiWarning
        When a class has a single sample (without it the class is unknown to the probe).
    """
    one_of("method", method, ("closed_form",))
    one_of("hessian", hessian, ("diag", "full"))
    one_of("loo_prior", loo_prior, ("rescaled", "fixed"))
    one_of("precision", precision, ("auto", "float32", "float64"))
    clock = _Stages()
    problem = Problem.state(
        features,
        labels,
        weight_decay=weight_decay,
        prior_precision=prior_precision,
        feature_scaling=feature_scaling,
        device=device,
    )
    clock.done("scaling")
    objective, notes = problem.objective, list(problem.notes)
    count, device = objective.samples, objective.design.device
    reduced = (objective.classes - 1) * objective.design.columns
    _check_memory(reduced, hessian, problem.prior_precision, objective.ridge, device)
    single_precision = precision == "float32" or (
        precision == "auto" and count * float(reduced) ** 2 > DOUBLE_PRECISION_WORK
    )

    probe = fit_linear_probe(objective, tolerance=tolerance, progress=progress)
    clock.done("fit")
    left_out = leave_one_out(
        objective,
        probe,
        hessian=hessian,
        prior_precision=problem.prior_precision,
        loo_prior=loo_prior,
        dtype=torch.float32 if single_precision else torch.float64,
        progress=progress,
    )
    clock.done("scores")
    table = ScoreTable(
        lsi_mean_shift=left_out.mean_shift.cpu().numpy(),
        lsi_covariance=left_out.covariance.cpu().numpy(),
        probabilities=left_out.probabilities.cpu().numpy(),
        codes=problem.codes,
        classes=problem.classes,
        leverage=left_out.leverage.cpu().numpy(),
        weight=probe.weight.cpu().numpy(),
        bias=probe.bias.cpu().numpy(),
        scaling=problem.scaling,
        index=np.arange(count, dtype=np.int64),
        info={
            "method": method,
            "hessian": hessian,
            "loo_prior": loo_prior,
            "weight_decay": weight_decay,
            "prior_precision": problem.prior_precision,
            "feature_scaling": feature_scaling,
            "precision": "float32" if single_precision else "float64",
            "device": str(device),
            "samples": count,
            "dimension": objective.design.dimension,
            "classes": objective.classes,
            "gradient_norm": probe.gradient_norm,
            "newton_steps": probe.newton_steps,
            "loss": probe.loss,
            "seconds": clock.seconds,
        },
    )
    lowest, highest = float(table.lsi.min()), float(table.lsi.max())
    if lowest < -NEGATIVE_TOLERANCE * max(highest, 1e-300):
        notes.append(
            f"the lowest LSI is {lowest:.3g}; a divergence cannot be negative: please report this, with the settings"
        )
    for note in notes:
        warnings.warn(note, LsiWarning, stacklevel=2)
    table.info["warnings"] = notes
    return table


class _Stages:
    """Wall-clock seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def _check_memory(reduced: int, hessian: str, delta: float, ridge: float, device: torch.device) -> None:
    """Refuse what cannot fit, with the figures, instead of dying half-way."""
    matrices = 5 if hessian == "full" and abs(delta - ridge) > 1e-3 * ridge else 3
    needed = 8.0 * reduced**2 * matrices
    on_gpu = device.type == "cuda"
    available = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    if needed > 0.9 * available:
        raise InputError(
            f"the Hessian has {reduced:,} × {reduced:,} entries ((C − 1) · (D + 1)); about {needed / 2**30:.1f} GiB "
            f"are needed and {available / 2**30:.1f} GiB are free. Reduce the features' dimension (for example by "
            "PCA) or score fewer classes at a time"
        )


def describe(info: dict[str, Any]) -> str:
    """One line about how scores came about, for people."""
    return (
        f"{info['samples']:,} samples · {info['classes']} classes · {info['method'].replace('_', ' ')}, "
        f"{info['hessian']} · |g| {info['gradient_norm']:.1e}"
    )
