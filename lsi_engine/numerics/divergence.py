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


class FactorisedPrecision:
    """P of a Gaussian N(·, P⁻¹), factorised once for its divergences from any number of others.

    Parameters
    ----------
    precision
        P, ``(K, K)`` symmetric positive definite, or ``(K,)`` for a diagonal one.
    """

    def __init__(self, precision: torch.Tensor) -> None:
        self.precision = precision
        self.factor = torch.linalg.cholesky(precision) if precision.ndim == 2 else None

    def divergence(self, shift: torch.Tensor, other_precision: torch.Tensor) -> KlParts:
        """KL(N(m, P⁻¹) ‖ N(m + shift, P'⁻¹)), the two parts apart.

        Parameters
        ----------
        shift
            ``(K,)``.
        other_precision
            P', of P's own shape.

        Notes
        -----
        ½ Σ (x − log1p x) over the eigenvalues x of L⁻¹(P' − P)L⁻ᵀ, P = LLᵀ: trace, dimension and log-determinants are
        never subtracted from one another, which would lose every digit when P' is close to P.
        """
        change = other_precision - self.precision
        if self.factor is None:
            quadratic = (other_precision * shift.square()).sum()
            relative = change / self.precision
        else:
            quadratic = shift @ other_precision @ shift
            half = torch.linalg.solve_triangular(self.factor, change, upper=False)
            whole = torch.linalg.solve_triangular(self.factor, half.T, upper=False)
            relative = torch.linalg.eigvalsh((whole + whole.T) / 2)
        return KlParts(quadratic / 2, x_minus_log1p(relative).sum() / 2)


def gaussian_kl(
    mean: torch.Tensor, precision: torch.Tensor, other_mean: torch.Tensor, other_precision: torch.Tensor
) -> KlParts:
    """KL(N(mean, P⁻¹) ‖ N(other_mean, P'⁻¹)); see :class:`FactorisedPrecision`, also for one P and many others."""
    return FactorisedPrecision(precision).divergence(other_mean - mean, other_precision)


def x_minus_log1p(x: torch.Tensor) -> torch.Tensor:
    """x − log(1 + x), accurate where x is so small that the difference would cancel."""
    # Taylor to x⁹; its next term is below 1e-17 of the leading x²/2 for |x| < 0.01.
    series = x.square() * (
        1 / 2 + x * (-1 / 3 + x * (1 / 4 + x * (-1 / 5 + x * (1 / 6 + x * (-1 / 7 + x * (1 / 8 - x / 9))))))
    )
    return torch.where(x.abs() < 0.01, series, x - torch.log1p(x))
