"""The definitions of the paper written out densely in NumPy float64, one sample at a time and without any shortcut.

Nothing here calls the engine: it is what the engine is measured against. Θ is ``(C, D + 1)`` (bias last) and is
flattened by rows; every curvature is the dense ``(K, K)`` matrix with K = C (D + 1), class contrasts unused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A small classification task: features ``(N, D)``, labels ``(N,)`` in 0..C−1."""

    features: Array
    labels: NDArray[np.int64]
    classes: int

    @property
    def design(self) -> Array:
        return np.hstack([self.features, np.ones((len(self.features), 1))])


def blobs(seed: int, samples: int, dimension: int, classes: int, *, flips: float = 0.1, spread: float = 1.2) -> Problem:
    """Gaussian classes on random centres, a share of the labels flipped; every class occurs at least twice."""
    generator = np.random.default_rng(seed)
    centres = spread * generator.normal(size=(classes, dimension))
    labels = np.arange(samples) % classes
    features = centres[labels] + generator.normal(size=(samples, dimension))
    flipped = generator.choice(samples, int(flips * samples), replace=False)
    given = labels.copy()
    given[flipped] = (labels[flipped] + 1 + generator.integers(classes - 1, size=len(flipped))) % classes
    given[: 2 * classes] = labels[: 2 * classes]
    return Problem(features, given.astype(np.int64), classes)


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def loss(theta: Array, x: Array, y: NDArray[np.int64], ridge: float) -> float:
    """Σ −log p[y] + ridge/2 ‖Θ‖²."""
    p = softmax(x @ theta.T)
    return float(-np.log(p[np.arange(len(y)), y]).sum() + ridge / 2 * np.square(theta).sum())


def gradient(theta: Array, x: Array, y: NDArray[np.int64], ridge: float) -> Array:
    residual = softmax(x @ theta.T)
    residual[np.arange(len(y)), y] -= 1
    return residual.T @ x + ridge * theta


def sample_curvature(theta: Array, row: Array) -> Array:
    """JᵀFJ ``(K, K)`` of one sample: Kronecker product of its class covariance and its outer product."""
    p = softmax(row[None] @ theta.T)[0]
    return np.kron(np.diag(p) - np.outer(p, p), np.outer(row, row))


def curvature(theta: Array, x: Array) -> Array:
    """Σ_n J_nᵀF_nJ_n ``(K, K)``, no prior."""
    size = theta.size
    total = np.zeros((size, size))
    for row in x:
        total += sample_curvature(theta, row)
    return total


def fast_curvature(theta: Array, x: Array) -> Array:
    """The same sum by one einsum a pair of classes; for the many Hessians that refits need."""
    p = softmax(x @ theta.T)
    classes, columns = theta.shape
    blocks = np.empty((classes, columns, classes, columns))
    for a in range(classes):
        for b in range(classes):
            weight = p[:, a] * ((a == b) - p[:, b])
            blocks[a, :, b] = (weight[:, None] * x).T @ x
    return blocks.reshape(theta.size, theta.size)


def optimum(x: Array, y: NDArray[np.int64], classes: int, ridge: float, start: Array | None = None) -> Array:
    """Newton's method with halved steps, to the last digits."""
    theta = np.zeros((classes, x.shape[1])) if start is None else start.copy()
    value = loss(theta, x, y, ridge)
    for _ in range(100):
        slope = gradient(theta, x, y, ridge)
        if np.linalg.norm(slope) < 1e-11 * len(x):
            return theta
        hessian = fast_curvature(theta, x) + ridge * np.eye(theta.size)
        step = np.linalg.solve(hessian, slope.ravel()).reshape(theta.shape)
        length = 1.0
        while loss(theta - length * step, x, y, ridge) > value + 1e-12 * abs(value) and length > 1e-6:
            length /= 2
        theta = theta - length * step
        value = loss(theta, x, y, ridge)
    raise AssertionError("the reference fit did not converge")


def kl(mean: Array, precision: Array, other_mean: Array, other_precision: Array) -> tuple[float, float]:
    """Textbook KL(N(mean, P⁻¹) ‖ N(other, P'⁻¹)) by slogdet: (mean-shift part, covariance part)."""
    shift = (other_mean - mean).ravel()
    trace = np.trace(np.linalg.solve(precision, other_precision))
    logdet = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(other_precision)[1]
    return float(shift @ other_precision @ shift / 2), float((trace - len(shift) + logdet) / 2)


def posterior_precision(theta: Array, x: Array, delta: float, structure: str) -> Array:
    """Σ GGN + δI, or only its diagonal, as a dense matrix."""
    precision = fast_curvature(theta, x) + delta * np.eye(theta.size)
    return np.diag(np.diag(precision)) if structure == "diag" else precision


@dataclass(frozen=True)
class LeftOut:
    """Per sample: the two parts of LSI, the leave-one-out probabilities and the leverage."""

    mean_shift: Array
    covariance: Array
    probabilities: Array
    leverage: Array

    @property
    def lsi(self) -> Array:
        return self.mean_shift + self.covariance


def one_newton_step(
    problem: Problem, theta: Array, wd: float, structure: str, delta: float, loo_prior: str = "rescaled"
) -> LeftOut:
    """Leave-one-out by one dense Newton step from the optimum, with every Hessian frozen at θ.

    The diagonal posterior's entries at θ₋ᵢ follow to first order, in their logarithm.
    """
    x, y, samples = problem.design, problem.labels, len(problem.labels)
    data = curvature(theta, x)
    identity = np.eye(theta.size)
    gamma = (samples - (loo_prior == "rescaled")) * wd
    pull = wd * theta.ravel() if loo_prior == "rescaled" else np.zeros(theta.size)
    whole_inverse = np.linalg.inv(data + gamma * identity)
    rows = []
    for i in range(samples):
        own = sample_curvature(theta, x[i])
        residual = softmax(x[i : i + 1] @ theta.T)[0]
        residual[y[i]] -= 1
        push = np.kron(residual, x[i]) + pull
        shift = np.linalg.solve(data - own + gamma * identity, push)
        precision, other = data + delta * identity, data - own + delta * identity
        if structure == "diag":
            rest = np.arange(samples) != i
            p, f = softmax(x[rest] @ theta.T), x[rest] @ shift.reshape(theta.shape).T
            slope = (1 - 2 * p) * p * (f - (p * f).sum(axis=1, keepdims=True))
            kept, change = ((weight.T @ np.square(x[rest])).ravel() for weight in (p * (1 - p), slope))
            precision, other = np.diag(np.diag(precision)), np.diag(kept * np.exp(change / kept) + delta)
        moved = theta + shift.reshape(theta.shape)
        parts = kl(theta.ravel(), precision, moved.ravel(), other)
        rows.append((*parts, softmax(x[i : i + 1] @ moved.T)[0], np.trace(own @ whole_inverse)))
    return _stack(rows)


def exact_refits(
    problem: Problem, theta: Array, wd: float, structure: str, delta: float, loo_prior: str = "rescaled"
) -> LeftOut:
    """Every leave-one-out optimum really found, and the true posterior at it."""
    x, y, samples = problem.design, problem.labels, len(problem.labels)
    precision = posterior_precision(theta, x, delta, structure)
    rows = []
    for i in range(samples):
        rest_x, rest_y = np.delete(x, i, axis=0), np.delete(y, i)
        ridge = (samples - (loo_prior == "rescaled")) * wd
        moved = optimum(rest_x, rest_y, problem.classes, ridge, start=theta)
        parts = kl(theta.ravel(), precision, moved.ravel(), posterior_precision(moved, rest_x, delta, structure))
        rows.append((*parts, softmax(x[i : i + 1] @ moved.T)[0], np.nan))
    return _stack(rows)


def _stack(rows: list[tuple]) -> LeftOut:
    shift, covariance, probabilities, leverage = zip(*rows, strict=True)
    return LeftOut(np.array(shift), np.array(covariance), np.stack(probabilities), np.array(leverage))
