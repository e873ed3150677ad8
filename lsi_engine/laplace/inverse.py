"""The inverse of a large symmetric positive definite matrix, almost all of it matrix products."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lsi_engine.errors import InputError

#: Triangles of at most so many columns are not split any further.
UNSPLIT = 512


def inverse(matrix: torch.Tensor, describe: Callable[[], str]) -> torch.Tensor:
    """Inverse of a symmetric positive definite float64 matrix, by Cholesky.

    Raises ``InputError`` with ``describe()`` when the matrix is not numerically positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        raise InputError(f"{describe()} is not positive definite; raise weight_decay or prior_precision")
    # K³ flop in all, as products large enough to run at full speed; torch.cholesky_inverse takes ten times as long.
    return _transposed_square(_triangular_inverse(factor))


def _triangular_inverse(lower: torch.Tensor) -> torch.Tensor:
    """L⁻¹, by halves: [[A, 0], [B, C]]⁻¹ = [[A⁻¹, 0], [−C⁻¹BA⁻¹, C⁻¹]]."""
    size = len(lower)
    if size <= UNSPLIT:
        eye = torch.eye(size, dtype=lower.dtype, device=lower.device)
        return torch.linalg.solve_triangular(lower, eye, upper=False)
    half = size // 2
    out = torch.zeros_like(lower)
    a, c = _triangular_inverse(lower[:half, :half]), _triangular_inverse(lower[half:, half:])
    out[:half, :half], out[half:, half:] = a, c
    out[half:, :half] = -(c @ (lower[half:, :half] @ a))
    return out


def _transposed_square(lower: torch.Tensor) -> torch.Tensor:
    """MᵀM of a lower triangular M, by halves."""
    size = len(lower)
    if size <= UNSPLIT:
        return lower.T @ lower
    half = size // 2
    b, c = lower[half:, :half], lower[half:, half:]
    out = torch.empty_like(lower)
    out[:half, :half] = _transposed_square(lower[:half, :half]) + _gram(b)
    out[half:, half:] = _transposed_square(c)
    out[half:, :half] = c.T @ b
    out[:half, half:] = out[half:, :half].T
    return out


def _gram(matrix: torch.Tensor) -> torch.Tensor:
    """BᵀB, by halves of the columns."""
    size = matrix.shape[1]
    if size <= UNSPLIT:
        return matrix.T @ matrix
    half = size // 2
    out = matrix.new_empty(size, size)
    out[:half, :half], out[half:, half:] = _gram(matrix[:, :half]), _gram(matrix[:, half:])
    out[half:, :half] = matrix[:, half:].T @ matrix[:, :half]
    out[:half, half:] = out[half:, :half].T
    return out
