"""The Kullback–Leibler divergence between two Gaussians (paper, equation after Definition 2)."""

from __future__ import annotations

from typing import NamedTuple

import torch


class KlParts(NamedTuple):
    """KL = ``mean_shift`` + ``covariance``, in nats."""

    mean_shift: torch.Tensor
    covariance: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.mean_shift + self.covariance


def gaussian_kl(
    mean: torch.Tensor, precision: torch.Tensor, other_mean: torch.Tensor, other_precision: torch.Tensor
) -> KlParts:
    """KL(N(mean, P⁻¹) ‖ N(other_mean, P'⁻¹)), the two parts apart.

    Parameters
    ----------
    mean, other_mean
        ``(K,)``.
    precision, other_precision
        ``(K, K)`` symmetric positive definite, or ``(K,)`` for diagonal ones.

    Notes
    -----
    ½ Σ (x − log1p x) over the eigenvalues x of L⁻¹(P' − P)L⁻ᵀ, P = LLᵀ: trace, dimension and log-determinants are
    never subtracted from one another, which would lose every digit when P' is close to P.
    """
    shift = other_mean - mean
    if precision.ndim == 1:
        quadratic = (other_precision * shift.square()).sum()
        relative = (other_precision - precision) / precision
    else:
        quadratic = shift @ other_precision @ shift
        factor = torch.linalg.cholesky(precision)
        half = torch.linalg.solve_triangular(factor, other_precision - precision, upper=False)
        whole = torch.linalg.solve_triangular(factor, half.T, upper=False)
        relative = torch.linalg.eigvalsh((whole + whole.T) / 2)
    return KlParts(quadratic / 2, x_minus_log1p(relative).sum() / 2)


def x_minus_log1p(x: torch.Tensor) -> torch.Tensor:
    """x − log(1 + x), accurate where x is so small that the difference would cancel."""
    # Taylor to x⁹; its next term is below 1e-17 of the leading x²/2 for |x| < 0.01.
    series = x.square() * (
        1 / 2 + x * (-1 / 3 + x * (1 / 4 + x * (-1 / 5 + x * (1 / 6 + x * (-1 / 7 + x * (1 / 8 - x / 9))))))
    )
    return torch.where(x.abs() < 0.01, series, x - torch.log1p(x))
