"""The diagonal Laplace posterior of the linear softmax probe, and how it changes without one sample.

Its precision is A + δ with A_cd = Σ_n a_nc x̃_nd², a_nc = p_nc (1 − p_nc), one entry a weight. Without sample i two
things change, both of order 1/N: the sample's own term goes, and at θ₋ᵢ every other sample's a_nc is another. The
second, to first order in Δ_i, is

    Σ_{n≠i} t_nc x̃_nd²,    t_nc = (1 − 2p_nc) p_nc (f_c − Σ_k p_nk f_k),    f = J_nΔ_i,

one fixed linear map of Δ_i less the sample's own response. It is applied to the logarithm, A → A exp(change / A),
which agrees to first order and cannot turn a precision negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from lsi_engine.curvature.gauss_newton import ggn_diagonal
from lsi_engine.numerics.design import BLOCK_ROWS, Design
from lsi_engine.numerics.divergence import x_minus_log1p
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import product
from lsi_engine.progress import Progress, silent

#: Below this largest share of a precision that a sample contributes, ½ Σ (x − log1p x) is summed as a power series.
SERIES_SHARE = 0.25
#: Terms from x² on: the next one is below 1e-8 of the first at the largest share.
SERIES_TERMS = 12
#: Elements that are summed one by one at a time, where the series does not hold.
SUMMED_ELEMENTS = 1 << 20
#: Largest change of a logarithm that is believed; beyond it the sample was all the curvature that there was.
LARGEST_CHANGE = 5.0


@dataclass(frozen=True)
class Coordinates:
    """Where a precision is diagonal: directions of the logits times directions of the features.

    ``outputs (C, O)``: the logits' directions o, one a column; ``lift (O, R)``: from the contrasts to them;
    ``inputs (D', D')``: V, the features' directions, or ``None`` for the features themselves.
    """

    outputs: torch.Tensor
    lift: torch.Tensor
    inputs: torch.Tensor | None = None

    @classmethod
    def of_classes(cls, basis: torch.Tensor) -> Coordinates:
        """One entry a weight: every class, every feature."""
        return cls(torch.eye(len(basis), dtype=basis.dtype, device=basis.device), basis)

    def curvature(self, p: torch.Tensor) -> torch.Tensor:
        """a ``(n, O)``: oᵀFo of rows with probabilities ``(n, C)``."""
        return p @ self.outputs.square() - (p @ self.outputs).square()

    def slope(self, p: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
        """∂a / ∂f in the contrasts, ``(n, O, R)``."""
        mean, centred = p @ self.outputs, p @ basis  # (n, O), (n, R)
        directions = self.outputs[:, :, None] * basis[:, None, :]  # (C, O, R)
        first = torch.einsum("nc,cor->nor", p, directions) - mean[:, :, None] * centred[:, None, :]
        second = torch.einsum("nc,cor->nor", p, self.outputs[:, :, None] * directions)
        second -= (p @ self.outputs.square())[:, :, None] * centred[:, None, :]
        return second - 2 * mean[:, :, None] * first

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """Rows x̃ ``(n, D')`` along the features' directions."""
        return x if self.inputs is None else product(x, self.inputs.to(x.dtype))


class DiagonalPosterior:
    """Precision A + δ ``(O, D')`` in some coordinates and its response to a shift of the weights.

    Parameters
    ----------
    probabilities
        ``(N, C)`` float64 at θ.
    basis
        Contrasts Q ``(C, R)``; shifts are given in them.
    coordinates, data
        Where the precision is diagonal, and A there, ``(O, D')`` float64.
    follow
        Follow the other samples' curvature to θ₋ᵢ, or keep it as it is at θ.
    dtype
        Of the products; the precision itself is float64.
    """

    def __init__(
        self,
        design: Design,
        probabilities: torch.Tensor,
        basis: torch.Tensor,
        prior_precision: float,
        *,
        at: tuple[Coordinates, torch.Tensor] | None = None,
        follow: bool = True,
        dtype: torch.dtype,
        progress: Progress = silent,
    ) -> None:
        self.basis = basis
        self.coordinates, self.data = at or (Coordinates.of_classes(basis), ggn_diagonal(design, probabilities))
        self.precision = self.data + prior_precision
        self.dtype = dtype
        self.response: torch.Tensor | None = self._response(design, probabilities, progress) if follow else None

    def _response(self, design: Design, probabilities: torch.Tensor, progress: Progress) -> torch.Tensor:
        """Change of A, ``(R · D', O · D')``, for a shift of the weights: O · R · D'² products a sample."""
        dtype, columns, size, outputs = self.dtype, design.columns, self.basis.shape[1], len(self.data)
        response = torch.zeros(size * columns, outputs, columns, dtype=torch.float64, device=self.basis.device)
        for rows in design.row_blocks(BLOCK_ROWS):
            z, p = self.coordinates.rows(design.block(rows, dtype)), probabilities[rows]
            squared = z.square()
            slope = self.coordinates.slope(p, self.basis).to(dtype)  # (n, O, R)
            for _ in in_parallel(partial(_respond, response, z, squared, slope), range(outputs), design.device):
                pass
            progress("curvature", rows.stop, design.rows)
        return response.flatten(1).to(dtype)

    def parts(
        self, x: torch.Tensor, p: torch.Tensor, delta: torch.Tensor, logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both parts of LSI ``(n,)`` float64, for samples left out one at a time.

        Parameters
        ----------
        x, p
            ``(n, D')`` rows of X̃ and ``(n, C)`` probabilities of the left-out samples.
        delta
            ``(n, R, D')``: Δ of each, in the contrasts and the features' directions.
        logits
            ``(n, R)``: J_iΔ_i.
        """
        dtype = self.dtype
        shift = torch.matmul(self.coordinates.lift.to(dtype), delta)  # (n, O, D')
        curvature, squared = self.coordinates.curvature(p), self.coordinates.rows(x).square()
        if self.response is None:
            return kept_parts(curvature, squared, shift.square_(), self.precision)
        squared = squared[:, None, :]
        own = curvature.to(dtype)[:, :, None] * squared
        slope = self.coordinates.slope(p, self.basis)
        own_response = torch.einsum("nor,nr->no", slope, logits).to(dtype)[:, :, None] * squared
        change = product(delta.flatten(1), self.response).view_as(shift) - own_response
        kept = (self.data.to(dtype) - own).clamp_(min=0)
        exponent = torch.where(kept > 0, change / kept, 0).clamp_(-LARGEST_CHANGE, LARGEST_CHANGE)
        added = kept * torch.expm1(exponent) - own
        precision = self.precision.to(dtype)
        mean_shift = ((precision + added) * shift.square()).flatten(1).sum(dim=1)
        covariance = x_minus_log1p(added / precision).flatten(1).sum(dim=1)
        return mean_shift.to(torch.float64) / 2, covariance.to(torch.float64) / 2


def kept_parts(
    own: torch.Tensor, squared: torch.Tensor, energy: torch.Tensor, precision: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both parts of LSI ``(n,)`` float64 where a diagonal precision loses nothing but the sample's own term.

    Almost everything is a matrix product: nothing of the size of ``energy`` is made.

    Parameters
    ----------
    own, squared
        ``(n, O)`` float64 and ``(n, D')``: the sample's term is own_io · squared_id.
    energy
        ``(n, O, D')``: squares of the shift Δ.
    precision
        ``(O, D')`` float64.
    """
    whole = (energy.flatten(1) @ precision.to(energy.dtype).flatten()).to(torch.float64)
    mean_shift = whole - (own * torch.bmm(energy, squared[:, :, None])[:, :, 0]).sum(dim=1)
    return mean_shift / 2, shrinkage(own, squared.to(torch.float64), precision)


def shrinkage(own: torch.Tensor, squared: torch.Tensor, precision: torch.Tensor) -> torch.Tensor:
    """½ Σ_od (x − log1p x) ``(n,)``, x = −own_io · squared_id / precision_od; all float64, shapes as above.

    −h − log1p(−h) = h²/2 + h³/3 + … is a product of powers a term, and one matrix product over all samples.
    """
    weight = precision.reciprocal()
    total = torch.zeros(len(own), dtype=torch.float64, device=own.device)
    own_power, square_power, weight_power = own, squared, weight
    for term in range(2, SERIES_TERMS + 2):
        own_power, square_power, weight_power = own_power * own, square_power * squared, weight_power * weight
        total += (own_power * (square_power @ weight_power.T)).sum(dim=1) / term
    largest = own.amax(dim=1) * (squared * weight.amax(dim=0)).amax(dim=1)
    for row in (largest > SERIES_SHARE).nonzero()[:, 0].split(max(1, SUMMED_ELEMENTS // weight.numel())):
        share = own[row, :, None] * squared[row, None, :] * weight
        total[row] = x_minus_log1p(-share).flatten(1).sum(dim=1)
    return total / 2


def _respond(response: torch.Tensor, x: torch.Tensor, squared: torch.Tensor, slope: torch.Tensor, o: int) -> None:
    """Add a block of rows' part to how the precision in direction o of the logits responds."""
    weighted = (slope[:, o, :, None] * x[:, None, :]).flatten(1)  # (n, R · D')
    response[:, o] += product(weighted.T, squared)
