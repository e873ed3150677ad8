"""Leave-one-out by really refitting: what the closed form is measured against.

Plain NumPy and SciPy in float64; nothing here calls the engine, and nothing is approximated. For a linear softmax probe
on x̃ = [x, 1] with the loss Σ_n −log p_n[y_n] + ridge/2 ‖Θ‖² in sum form,

- θ minimises it over all N rows with ridge = N·wd;
- θ₋ᵢ minimises it over the other rows with ridge (N − 1)·wd (``loo_prior="rescaled"``) or N·wd (``"fixed"``);
- the posteriors are N(θ, P⁻¹) and N(θ₋ᵢ, P₋ᵢ⁻¹): P = A(θ) over all rows + δ, P₋ᵢ = A₋ᵢ(θ₋ᵢ) over the others + δ, with A
  whole ("full"), its diagonal a weight ("diag"), or its diagonal in the Kronecker factors' eigenbasis of the fit over
  all rows ("kron"; the basis is the same for both posteriors, the eigenvalues are each posterior's own);
- LSI = KL(with ‖ without) = ½ΔᵀP₋ᵢΔ + ½ Σ (λ − log1p λ), λ the eigenvalues of P^−½(P₋ᵢ − P)P^−½.

Θ is ``(C, D')`` and its rows sum to zero over classes at any optimum; "full" and "kron" are therefore taken in C − 1
orthonormal contrasts. The direction left out has precision δ in both posteriors and no shift: it adds exactly nothing.
P₋ᵢ − P is summed from the rows' own differences F_n(θ₋ᵢ) − F_n(θ), never as the difference of two sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[np.float64]
Structure = Literal["diag", "kron", "full"]
LooPrior = Literal["rescaled", "fixed"]
STRUCTURES: tuple[Structure, ...] = ("diag", "kron", "full")

#: A fit ends at this gradient norm, relative to Σ_n ‖r_n‖‖x̃_n‖ + ridge ‖Θ‖, the sum of what cancels in it …
GRADIENT = 1e-13
#: … and after it goes on for as long as a step still halves the gradient, so that small shifts are resolved too.
NEWTON_STEPS = 500
#: A factorised Hessian is used again while it cuts the gradient by this much a step.
LAZY = 0.05
#: Up to so many weights the covariance part is summed over eigenvalues, beyond them by one more Cholesky.
EIGENVALUES = 2500


@dataclass(frozen=True)
class Parts:
    """Nats: ½ΔᵀP₋ᵢΔ and ½ Σ (λ − log1p λ)."""

    mean_shift: float
    covariance: float

    @property
    def lsi(self) -> float:
        return self.mean_shift + self.covariance


@dataclass(frozen=True)
class LeftOut:
    """One refit: θ₋ᵢ ``(C, D')``, its relative gradient, the divergences by structure, the row's own ``(C,)``
    probabilities without it."""

    theta: Array
    gradient: float
    parts: dict[Structure, Parts]
    probabilities: Array


class Refits:
    """Every leave-one-out problem of features ``(N, D)``, labels ``(N,)`` in 0 … C − 1 and one weight decay.

    ``prior_precision`` is δ; ``None`` stands for N·wd.
    """

    def __init__(
        self,
        features: Array,
        labels: NDArray[np.int64],
        weight_decay: float,
        *,
        loo_prior: LooPrior = "rescaled",
        prior_precision: float | None = None,
        classes: int | None = None,
    ) -> None:
        self.x = np.hstack([np.asarray(features, dtype=np.float64), np.ones((len(features), 1))])
        self.y = np.asarray(labels)
        self.classes = int(self.y.max()) + 1 if classes is None else classes
        self.wd, self.loo_prior = weight_decay, loo_prior
        self.delta = len(self.y) * weight_decay if prior_precision is None else prior_precision
        self.basis = _contrasts(self.classes)

    @cached_property
    def theta(self) -> Array:
        """θ ``(C, D')``, over all rows."""
        start = np.zeros((self.classes, self.x.shape[1]))
        return _optimum(self.x, self.y, len(self.y) * self.wd, self.basis, start)[0]

    @cached_property
    def _p(self) -> Array:
        return _softmax(self.x @ self.theta.T)

    @cached_property
    def _kronecker(self) -> tuple[Array, Array]:
        """U in the classes ``(C, R)`` and V ``(D', D')``: eigenvectors of Σ F_n and of Σ x̃_nx̃_nᵀ."""
        mean = self._p @ self.basis
        factor = (self.basis.T * self._p.sum(axis=0)) @ self.basis - mean.T @ mean
        return self.basis @ np.linalg.eigh(factor)[1], np.linalg.eigh(self.x.T @ self.x)[1]

    @cached_property
    def _factor(self) -> Array:
        """L, LLᵀ = the full P."""
        precision = curvature(self.x, self._p, self.basis)
        precision[np.diag_indices_from(precision)] += self.delta
        return np.linalg.cholesky(precision)

    def leave_out(self, rows: int | NDArray[np.int64], structures: tuple[Structure, ...] = STRUCTURES) -> LeftOut:
        """Refit without a row, or without several at once (the penalty then shrinks by as many)."""
        rows = np.atleast_1d(rows)
        rest = np.delete(np.arange(len(self.y)), rows)
        kept = len(rest) if self.loo_prior == "rescaled" else len(self.y)
        theta, gradient = _optimum(self.x[rest], self.y[rest], kept * self.wd, self.basis, self.theta)
        q = _softmax(self.x[rows] @ theta.T)
        return LeftOut(theta, gradient, self.divergences(rows, theta, structures), q[0] if len(rows) == 1 else q)

    def divergences(
        self, rows: NDArray[np.int64], theta: Array, structures: tuple[Structure, ...] = STRUCTURES
    ) -> dict[Structure, Parts]:
        """KL from the posterior of all rows to that at ``theta`` without ``rows``."""
        shift = theta - self.theta
        rest = np.delete(np.arange(len(self.y)), rows)
        x, p, own_x, own_p = self.x[rest], self._p[rest], self.x[rows], self._p[rows]
        change = _softmax_change(p, x @ shift.T)  # p(θ₋ᵢ) − p(θ)
        return {structure: self._parts(structure, x, p, change, own_x, own_p, shift) for structure in structures}

    def _parts(
        self, structure: Structure, x: Array, p: Array, change: Array, own_x: Array, own_p: Array, shift: Array
    ) -> Parts:
        if structure == "full":
            moved = (self.basis.T @ shift).ravel()
            lost = curvature(x, p, self.basis, change) - curvature(own_x, own_p, self.basis)
            half = scipy.linalg.solve_triangular(self._factor, lost, lower=True)
            relative = scipy.linalg.solve_triangular(self._factor, half.T, lower=True)
            quadratic = np.square(self._factor.T @ moved).sum() + moved @ lost @ moved
            return Parts(quadratic / 2, _excess(relative) / 2)
        if structure == "kron":
            outputs, inputs = self._kronecker
            x, own_x, moved, everything = x @ inputs, own_x @ inputs, outputs.T @ shift @ inputs, self.x @ inputs
        else:
            outputs, moved, everything = np.eye(self.classes), shift, self.x
        # The variance under p of an output's coordinate; under p + change it differs by so much:
        squared = np.square(outputs)
        difference = change @ squared - (change @ outputs) * ((2 * p + change) @ outputs)
        lost = difference.T @ np.square(x) - (own_p @ squared - np.square(own_p @ outputs)).T @ np.square(own_x)
        precision = (self._p @ squared - np.square(self._p @ outputs)).T @ np.square(everything) + self.delta
        quadratic = ((precision + lost) * np.square(moved)).sum()
        return Parts(quadratic / 2, x_minus_log1p(lost / precision).sum() / 2)


def curvature(x: Array, p: Array, basis: Array, change: Array | None = None) -> Array:
    """Σ_n F_n ⊗ x̃_nx̃_nᵀ in the contrasts ``(R·D', R·D')``; with ``change``, F_n(p + change) − F_n(p) instead."""
    size, columns = basis.shape[1], x.shape[1]
    mean = p @ basis
    step = None if change is None else change @ basis
    weight = p if change is None else change
    blocks = np.empty((size, columns, size, columns))
    for a in range(size):
        for b in range(a, size):
            w = weight @ (basis[:, a] * basis[:, b])
            if step is None:
                w -= mean[:, a] * mean[:, b]
            else:
                w -= step[:, a] * mean[:, b] + mean[:, a] * step[:, b] + step[:, a] * step[:, b]
            blocks[a, :, b] = x.T @ (w[:, None] * x)
            blocks[b, :, a] = blocks[a, :, b]
    return blocks.reshape(size * columns, size * columns)


def x_minus_log1p(x: Array) -> Array:
    """x − log(1 + x) without cancellation."""
    series = np.zeros_like(x)
    for power in range(12, 1, -1):
        series = (-1.0) ** power / power + x * series
    return np.where(np.abs(x) < 0.02, np.square(x) * series, x - np.log1p(x))


def _excess(relative: Array) -> float:
    """tr R − log det(I + R)."""
    relative = (relative + relative.T) / 2
    if len(relative) <= EIGENVALUES:
        return float(x_minus_log1p(np.linalg.eigvalsh(relative)).sum())
    factor = np.linalg.cholesky(np.eye(len(relative)) + relative)
    return float(np.trace(relative) - 2 * np.log(np.diag(factor)).sum())


def _contrasts(classes: int) -> Array:
    """Orthonormal ``(C, C − 1)`` with columns that sum to zero."""
    return np.linalg.qr(np.hstack([np.ones((classes, 1)), np.eye(classes)[:, 1:]]))[0][:, 1:]


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _softmax_change(p: Array, shift: Array) -> Array:
    """softmax(f + shift) − p, p = softmax(f), to relative precision."""
    shift = shift - (p * shift).sum(axis=1, keepdims=True)
    grown = np.expm1(np.minimum(shift, 600.0))
    total = (p * grown).sum(axis=1, keepdims=True)
    return p * (grown - total) / (1 + total)


def _value(theta: Array, x: Array, y: NDArray[np.int64], ridge: float) -> float:
    logits = x @ theta.T
    top = logits.max(axis=1)
    log_sum = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((log_sum - logits[np.arange(len(y)), y]).sum() + ridge / 2 * np.square(theta).sum())


def _gradient(theta: Array, x: Array, y: NDArray[np.int64], ridge: float) -> tuple[Array, float, Array]:
    """The gradient ``(C, D')``, the size of what cancels in it, the probabilities."""
    p = _softmax(x @ theta.T)
    residual = p.copy()
    # 1 − p of the given label is the sum of the others: exact where p rounds to one.
    picked = np.arange(len(y)), y
    residual[picked] = 0
    residual[picked] = -residual.sum(axis=1)
    size = np.linalg.norm(residual, axis=1) @ np.linalg.norm(x, axis=1) + ridge * np.linalg.norm(theta)
    return residual.T @ x + ridge * theta, float(size), p


def _optimum(x: Array, y: NDArray[np.int64], ridge: float, basis: Array, start: Array) -> tuple[Array, float]:
    """Damped Newton: the optimum and its relative gradient norm; raises where that stays above ``GRADIENT``."""
    theta, factor, fresh = start, None, False
    gradient, size, p = _gradient(theta, x, y, ridge)
    value = _value(theta, x, y, ridge)
    for _ in range(NEWTON_STEPS):
        norm = np.linalg.norm(gradient)
        if factor is None:
            hessian = curvature(x, p, basis)
            hessian[np.diag_indices_from(hessian)] += ridge
            factor, fresh = scipy.linalg.cho_factor(hessian, lower=True, overwrite_a=True), True
        step = scipy.linalg.cho_solve(factor, (basis.T @ gradient).ravel()).reshape(basis.shape[1], -1)
        step, length = basis @ step, 1.0
        slope = float((gradient * step).sum())
        while length > 1e-10:
            candidate = theta - length * step
            moved, moved_size, moved_p = _gradient(candidate, x, y, ridge)
            reached = _value(candidate, x, y, ridge)
            # Near the optimum the gradient resolves what the value no longer does.
            flat = reached <= value + 1e-12 * abs(value) and np.linalg.norm(moved) < norm / 2
            if (reached <= value - 1e-4 * length * slope and np.linalg.norm(moved) < 10 * norm) or flat:
                break
            length /= 2
        progress = np.linalg.norm(moved) / norm if length > 1e-10 else 1.0
        if progress > LAZY and not fresh and norm > GRADIENT * size:
            # The old factorisation no longer fits; what it found is kept if it helped.
            if progress < 1:
                theta, gradient, size, p, value = candidate, moved, moved_size, moved_p, reached
            factor = None
            continue
        if length <= 1e-10 or (norm <= GRADIENT * size and progress > 0.5):
            break
        theta, gradient, size, p, value = candidate, moved, moved_size, moved_p, reached
        fresh = False
        if progress > LAZY and norm > GRADIENT * size:
            factor = None
    relative = float(np.linalg.norm(gradient) / size)
    if relative > GRADIENT:
        raise ArithmeticError(f"the reference fit stopped at a relative gradient of {relative:.1e}")
    return theta - theta.mean(axis=0), relative
