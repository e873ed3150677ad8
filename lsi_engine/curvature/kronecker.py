"""The Kronecker-factored Laplace posterior of the linear softmax probe, with corrected eigenvalues.

K-FAC takes A = Σ_n F_n ⊗ x̃_n x̃_nᵀ for (Σ_n F_n) ⊗ (Σ_n x̃_n x̃_nᵀ) / N. Its eigenvectors U ⊗ V need only the two small
factors; the best eigenvalues for those eigenvectors are not the factors' products but A's own diagonal in that basis,

    s_od = Σ_n a_no z_nd²,    a_no = (UᵀF_nU)_oo,  z_n = Vᵀx̃_n

(George et al. 2018, "EK-FAC"). The precision is then diagonal in known coordinates, for any prior, and leaving a sample
out takes a_io z_id² from it: the divergence is a true one, log-determinant and trace included.
"""

from __future__ import annotations

import torch

from lsi_engine.numerics.design import BLOCK_ROWS, Design
from lsi_engine.numerics.products import product
from lsi_engine.progress import Progress, silent


class KroneckerCurvature:
    """Eigenbasis and corrected eigenvalues of the summed curvature, without any prior.

    Attributes
    ----------
    outputs
        ``(C, R)``: class contrasts Q times the eigenvectors U.
    turn
        ``(R, R)``: U.
    inputs
        ``(D', D')``: V.
    data
        ``(R, D')``: s.
    """

    def __init__(
        self, design: Design, probabilities: torch.Tensor, basis: torch.Tensor, *, progress: Progress = silent
    ) -> None:
        columns, size = design.columns, basis.shape[1]
        gram = torch.zeros(columns, columns, dtype=torch.float64, device=design.device)
        mean = torch.zeros(size, size, dtype=torch.float64, device=design.device)
        for rows in design.row_blocks(BLOCK_ROWS):
            x, centred = design.block(rows, torch.float64), probabilities[rows] @ basis
            gram += product(x.T, x)
            mean += centred.T @ centred
            progress("curvature", rows.stop, 2 * design.rows)
        factor = (basis.T * probabilities.sum(dim=0)) @ basis - mean
        self.turn = torch.linalg.eigh(factor).eigenvectors
        self.inputs = torch.linalg.eigh(gram).eigenvectors
        self.outputs = basis @ self.turn
        self.data = torch.zeros(size, columns, dtype=torch.float64, device=design.device)
        for rows in design.row_blocks(BLOCK_ROWS):
            z = self.project(design.block(rows, torch.float64))
            self.data += self.own(probabilities[rows]).T @ z.square()
            progress("curvature", design.rows + rows.stop, 2 * design.rows)

    def own(self, probabilities: torch.Tensor) -> torch.Tensor:
        """a ``(n, R)`` of rows with class probabilities ``(n, C)``: the diagonal of UᵀFU."""
        return probabilities @ self.outputs.square() - (probabilities @ self.outputs).square()

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """z ``(n, D')`` of rows x̃."""
        return product(x, self.inputs.to(x.dtype))

    def coordinates(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights in the contrasts ``(…, R, D')`` in the coordinates in which the precision is diagonal."""
        return self.turn.T.to(weights.dtype) @ (weights @ self.inputs.to(weights.dtype))
