"""Matrix products and factorisations by the fastest library at hand.

On a processor that is NumPy's BLAS and SciPy's LAPACK (OpenBLAS or Accelerate in the wheels): on two AMD cores torch's
own (MKL) multiplies 1.3 to 1.8 times, and inverts 2.5 to 3.5 times, as slowly; ``python -m benchmarks.closed_form``
prints both rates of a product. On a GPU it is torch itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg.blas
import scipy.linalg.lapack
import torch

from lsi_engine.errors import InputError


def product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """a ``(m, k)`` @ b ``(k, n)``, floats of one dtype on one device; ``out`` must be contiguous."""
    if a.device.type != "cpu":
        return torch.mm(a, b, out=out)
    if out is None:
        out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype)
    np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    return out


def cholesky(matrix: torch.Tensor) -> torch.Tensor | None:
    """L ``(K, K)``, LLᵀ = a symmetric ``matrix``; None where that is not numerically positive definite."""
    if matrix.device.type != "cpu":
        factor, failed = torch.linalg.cholesky_ex(matrix)
        return None if int(failed) else factor
    potrf, _ = _lapack(matrix)
    # Row by row in memory is column by column of the transpose, which is the matrix itself: nothing is copied twice.
    factor, failed = potrf(matrix.numpy().T, lower=0, clean=1)
    # OpenBLAS takes a NaN on the diagonal for positive.
    return None if failed or not np.isfinite(factor.diagonal()).all() else torch.from_numpy(factor.T)


def inverse(matrix: torch.Tensor, describe: Callable[[], str]) -> torch.Tensor:
    """Inverse of a symmetric positive definite matrix, by Cholesky.

    Raises ``InputError`` with ``describe()`` when the matrix is not numerically positive definite.
    """
    factor = cholesky(matrix)
    if factor is None:
        raise InputError(f"{describe()} is not positive definite; raise weight_decay or prior_precision")
    return inverse_of(factor)


def inverse_of(factor: torch.Tensor) -> torch.Tensor:
    """(LLᵀ)⁻¹ of a Cholesky ``factor`` L, whose memory it takes over."""
    if factor.device.type != "cpu":
        return torch.cholesky_inverse(factor)
    _, potri = _lapack(factor)
    upper, _ = potri(factor.numpy().T, lower=0, overwrite_c=1)
    return _mirrored(torch.from_numpy(upper.T))


def solved_rows(factor: torch.Tensor, rows: torch.Tensor, *, transposed: bool = False) -> torch.Tensor:
    """Rows L⁻¹z, or L⁻ᵀz, ``(n, D')`` for ``rows`` z: half the multiplications of a product with an inverse."""
    if rows.device.type != "cpu":
        matrix = factor.T if transposed else factor
        return torch.linalg.solve_triangular(matrix, rows.T, upper=transposed).T
    (trsm,) = scipy.linalg.blas.get_blas_funcs(("trsm",), (rows.numpy(),))
    # Column by column in memory L is an upper triangle, and the rows are right-hand sides as they lie.
    return torch.from_numpy(trsm(1.0, factor.numpy().T, rows.numpy().T, lower=0, trans_a=0 if transposed else 1).T)


def lower_gram(rows: torch.Tensor) -> torch.Tensor:
    """Lower triangle of ZᵀZ ``(D', D')`` for ``rows`` Z ``(n, D')``; zeros above it on a processor."""
    if rows.device.type != "cpu":
        return rows.T @ rows
    (syrk,) = scipy.linalg.blas.get_blas_funcs(("syrk",), (rows.numpy(),))
    # The upper triangle column by column is the lower one row by row.
    return torch.from_numpy(syrk(1.0, rows.numpy().T, lower=0).T)


def square(matrix: torch.Tensor) -> torch.Tensor:
    """M² of a symmetric ``matrix``: half of the products are the other half's mirror image."""
    if matrix.device.type != "cpu":
        return matrix @ matrix
    return _mirrored(lower_gram(matrix))


def _lapack(matrix: torch.Tensor) -> tuple[Callable, Callable]:
    return scipy.linalg.lapack.get_lapack_funcs(("potrf", "potri"), (matrix.numpy(),))


def _mirrored(lower: torch.Tensor, panel: int = 512) -> torch.Tensor:
    """The symmetric matrix of a lower triangle, in place."""
    for start in range(0, len(lower), panel):
        stop = min(start + panel, len(lower))
        corner = lower[start:stop, start:stop]
        corner.copy_(corner.tril() + corner.tril(-1).T)
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower
