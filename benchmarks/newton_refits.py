"""Leave-one-out optima of a linear softmax probe with many classes, really found: what benchmarks measure against.

Plain NumPy and SciPy, nothing of the engine. In sum form over the rows that remain the loss is
Σ_{n≠i} −log softmax(Θx̃_n)[y_n] + ((N − 1)·wd / 2) ‖Θ‖². Gradients are float64; the products inside conjugate gradients
are float32, which changes how many steps are needed and not where they end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Array = NDArray[np.float64]

ROWS = 2048
#: A refit ends at this share of its first gradient, or after so many Newton steps with the Hessian at θ.
GRADIENT, STEPS = 1e-4, 40


class Refits:
    """Refits of design ``(N, D')`` float64, labels ``(N,)`` in 0 … C − 1 and weight decay wd, around θ ``(C, D')``."""

    def __init__(self, design: Array, labels: NDArray[np.int64], weight_decay: float, theta: Array) -> None:
        self.x, self.y, self.wd, self.theta = design, labels, weight_decay, theta
        self.single = design.astype(np.float32)
        self.p = np.concatenate([_softmax(design[rows] @ theta.T) for rows in self._blocks()])
        self.p32 = self.p.astype(np.float32)
        self.ridge = (len(design) - 1) * weight_decay
        # A diagonal in one eigenbasis of XᵀX for all classes preconditions.
        self.turn = np.linalg.eigh(design.T @ design)[1]
        weights = np.zeros_like(theta)
        for rows in self._blocks():
            weights += (self.p[rows] * (1 - self.p[rows])).T @ np.square(design[rows] @ self.turn)
        self.scale = 1 / (weights + self.ridge)

    def _blocks(self) -> Iterator[slice]:
        return (slice(start, start + ROWS) for start in range(0, len(self.x), ROWS))

    def leave_out(self, rows: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        """½ΔᵀP₋ᵢΔ ``(n,)`` (nats, the full posterior at θ₋ᵢ, δ = N·wd), the row's own probabilities ``(n, C)`` without
        it, and the relative gradient ``(n,)`` that is left."""
        with threadpool_limits(1, "blas"), ThreadPoolExecutor() as pool:
            done = list(pool.map(self._one, rows.tolist()))
        energy, probabilities, left = zip(*done, strict=True)
        return np.array(energy), np.array(probabilities), np.array(left)

    def _one(self, i: int) -> tuple[float, Array, float]:
        shift, first, norm = np.zeros_like(self.theta), 0.0, np.inf
        for _ in range(STEPS):
            gradient = self._gradient(self.theta + shift, i)
            norm = float(np.linalg.norm(gradient))
            first = first or norm
            if norm <= GRADIENT * first:
                break
            shift += self._solved(-gradient, i, 1e-3 if norm == first else 0.05)
        energy = len(self.x) * self.wd * np.square(shift).sum()
        for rows in self._blocks():
            p, f = _softmax(self.x[rows] @ (self.theta + shift).T), self.x[rows] @ shift.T
            if rows.start <= i < rows.stop:
                f[i - rows.start] = 0
            energy += (p * f * f).sum() - np.square((p * f).sum(axis=1)).sum()
        return energy / 2, _softmax(self.x[i : i + 1] @ (self.theta + shift).T)[0], norm / first

    def _gradient(self, theta: Array, i: int) -> Array:
        total = self.ridge * theta
        for rows in self._blocks():
            residual, y = _softmax(self.x[rows] @ theta.T), self.y[rows]
            residual[np.arange(len(y)), y] -= 1
            if rows.start <= i < rows.stop:
                residual[i - rows.start] = 0
            total += residual.T @ self.x[rows]
        return total - total.mean(axis=0)

    def _product(self, v: Array, i: int) -> Array:
        single, total = v.astype(np.float32), self.ridge * v
        for rows in self._blocks():
            x, p = self.single[rows], self.p32[rows]
            g = p * (x @ single.T)
            g -= p * g.sum(axis=1, keepdims=True)
            if rows.start <= i < rows.stop:
                g[i - rows.start] = 0
            total += g.T @ x
        return total

    def _solved(self, right: Array, i: int, tolerance: float) -> Array:
        return _conjugate_gradients(lambda v: self._product(v, i), self._precondition, right, tolerance)

    def _precondition(self, gradient: Array) -> Array:
        solved = ((gradient @ self.turn) * self.scale) @ self.turn.T
        return solved - solved.mean(axis=0)


def _conjugate_gradients(
    apply: Callable[[Array], Array], precondition: Callable[[Array], Array], right: Array, tolerance: float
) -> Array:
    found, rest = np.zeros_like(right), right.copy()
    solved = precondition(rest)
    direction, scale = solved, np.vdot(rest, solved)
    for _ in range(400):
        product = apply(direction)
        length = scale / np.vdot(direction, product)
        found += length * direction
        rest -= length * product
        if np.linalg.norm(rest) <= tolerance * np.linalg.norm(right):
            break
        solved = precondition(rest)
        before, scale = scale, np.vdot(rest, solved)
        direction = solved + scale / before * direction
    return found


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted
