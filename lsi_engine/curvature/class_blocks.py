"""The Hessian of a linear softmax probe as one D' × D' block a class, where all of it would never fit.

The blocks are B_c = Σ_n a_nc x̃_n x̃_nᵀ + γI, a_nc = p_nc (1 − p_nc) + m_n. What lies between the classes, m_n − p_c p_k,
is left out of the others' curvature and of a sample's own alike. m_n may be any number: shifts sum to zero over the
classes, and 1 m 1ᵀ gives such a shift no curvature. The one that leaves least out is the mean of the p_c p_k of
different classes, m = (1 − Σ p²) / (C (C − 1)): with it the blocks are exact for two classes, and for any number of
equally likely ones. Without sample i, by Sherman and Morrison,

    Δ_ic = (B_c − a_ic x̃_i x̃_iᵀ)⁻¹ (r_ic x̃_i + b_c) = w_ic B_c⁻¹x̃_i + u_c,    u_c = B_c⁻¹b_c,
    w_ic = (r_ic + a_ic x̃_iᵀu_c) / (1 − a_ic σ_ic),    σ_ic = x̃_iᵀB_c⁻¹x̃_i.

B_c holds the sample's own a_ic x̃_i x̃_iᵀ, so that 1 − a_ic σ_ic > 0 always, and ½ Δᵀ(B − own)Δ stays below
½ (‖r‖‖x̃‖ + wd‖θ‖)² / γ. All of it happens in coordinates z = Vᵀx̃, V the eigenvectors of X̃ᵀX̃: there, samples that
hardly belong to a class are summed into its diagonal, Σ a z_d², and only **members** are multiplied out. A pair (n, c)
is a member where c is the sample's label, p_nc ≥ ``LEAST_PROBABILITY``, or the sample's share a_nc ‖x̃‖² / γ is at
least ``LARGEST_SHARE``; any other sample hardly moves the class, and its σ is the diagonal's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from lsi_engine.errors import InputError
from lsi_engine.numerics.design import PASS_ROWS, Design
from lsi_engine.numerics.divergence import x_minus_log1p
from lsi_engine.numerics.parallel import in_parallel
from lsi_engine.numerics.products import cholesky, inverse_of, lower_gram, product, solved_rows
from lsi_engine.progress import Progress, silent

#: A class less likely than this is not multiplied out for a sample, unless the sample alone moves it.
LEAST_PROBABILITY = 1e-3
#: A sample whose own part of a class's curvature may be a larger share than this is always multiplied out.
LARGEST_SHARE = 1e-2
#: Rows that are multiplied at once while a class's block is summed; sums of these are float64.
GRAM_ROWS = 8192
#: The inverses of all classes are kept together up to this many bytes.
RESIDENT_BYTES = 2 << 30
#: δ and γ this close (relatively) are one matrix, as in the closed form.
SAME_PRIOR = 1e-3


class ClassParts(NamedTuple):
    """One class's part in leaving out each of n samples; float64.

    ``w (n,)``, ``u (D',)`` in the coordinates z, ``logits (n,)`` x̃ᵀΔ_c, ``leverage (n,)`` p(1 − p)σ, and in nats
    ``mean_shift (n,)`` ½ Δ_cᵀP₋ᵢΔ_c and ``covariance (n,)`` of the posterior P_c = B_c + (δ − γ)I.
    """

    w: torch.Tensor
    u: torch.Tensor
    logits: torch.Tensor
    leverage: torch.Tensor
    mean_shift: torch.Tensor
    covariance: torch.Tensor


class ClassBlocks:
    """B_c of every class, built one class at a time.

    Parameters
    ----------
    probabilities
        ``(N, C)`` float64 at the point of the curvature.
    targets
        ``(N,)`` int64.
    ridge
        γ.
    dtype
        Of the products; what is factorised is float64.
    inputs
        V ``(D', D')`` float64; the eigenvectors of X̃ᵀX̃ when ``None``.

    Attributes
    ----------
    rows
        Z ``(N, D')`` in ``dtype``: the one copy of the data that is held.
    own
        aᵀ ``(C, N)`` in ``dtype``.
    diagonal
        ``(C, D')`` float64: Σ_n a_nc z_nd² + γ over all samples.
    """

    def __init__(
        self,
        design: Design,
        probabilities: torch.Tensor,
        targets: torch.Tensor,
        ridge: float,
        *,
        dtype: torch.dtype = torch.float32,
        inputs: torch.Tensor | None = None,
    ) -> None:
        device, classes = design.device, probabilities.shape[1]
        self.ridge, self.classes, self.columns, self.dtype = ridge, classes, design.columns, dtype
        self.inputs = _eigenvectors(design, dtype) if inputs is None else inputs
        self.rows = torch.empty(design.rows, design.columns, dtype=dtype, device=device)
        self.own = torch.empty(classes, design.rows, dtype=dtype, device=device)
        self.diagonal = torch.full((classes, self.columns), ridge, dtype=torch.float64, device=device)
        self._member = torch.empty(classes, design.rows, dtype=torch.bool, device=device)
        turn = self.inputs.to(dtype)

        def part(block: slice) -> torch.Tensor:
            z, p = product(design.block(block, dtype), turn), probabilities[block]
            squared, own = z.square(), class_curvature(p)
            member = (p >= LEAST_PROBABILITY) | (own * squared.sum(dim=1, keepdim=True) >= LARGEST_SHARE * ridge)
            member[torch.arange(len(z), device=device), targets[block]] = True
            self.rows[block], self.own[:, block], self._member[:, block] = z, own.T.to(dtype), member.T
            return product(own.T.to(dtype).contiguous(), squared).to(torch.float64)

        for summed in in_parallel(part, design.row_blocks(PASS_ROWS), device):
            self.diagonal += summed

    @property
    def resident(self) -> bool:
        """Whether the inverses of all classes may be kept together."""
        return inverse_bytes(self.classes, self.columns) <= RESIDENT_BYTES

    def members(self, c: int, rows: slice | torch.Tensor) -> torch.Tensor:
        """Which of ``rows`` are multiplied out for class ``c``: their places among them."""
        return self._member[c, rows].nonzero()[:, 0]

    def factor(self, c: int, excess: float = 0.0) -> torch.Tensor:
        """L ``(D', D')`` float64 lower, LLᵀ = B_c + ``excess`` · I. Raises ``InputError`` where there is none."""
        matrix = torch.zeros(self.columns, self.columns, dtype=torch.float64, device=self.rows.device)
        rest = self.diagonal[c].clone()
        for index in self.members(c, slice(None)).split(GRAM_ROWS):
            z = self.rows[index] * self.own[c, index].sqrt()[:, None]
            matrix += lower_gram(z)
            rest -= z.square().sum(dim=0, dtype=torch.float64)
        # In single precision the others' part can come out a rounding error below nothing.
        matrix.diagonal().add_(rest.clamp_(min=self.ridge) + excess)
        factor = cholesky(matrix)
        if factor is None:
            raise InputError(
                "the Hessian of a class is not positive definite; raise weight_decay, standardise the features "
                "(feature_scaling='standardize') or choose precision='float64'"
            )
        return factor

    def inverses(self, progress: Progress = silent, stage: str = "curvature") -> torch.Tensor:
        """B_c⁻¹ ``(C, D', D')`` in ``dtype``."""
        out = self.new_inverses()

        def one(c: int) -> int:
            out[c] = inverse_of(self.factor(c))
            return c

        for c in in_parallel(one, range(self.classes), self.rows.device):
            progress(stage, c + 1, self.classes)
        return out

    def new_inverses(self) -> torch.Tensor:
        """Room for all inverses."""
        return self.rows.new_empty(self.classes, self.columns, self.columns)

    def leave_out(
        self,
        c: int,
        rows: slice | torch.Tensor,
        p: torch.Tensor,
        residual: torch.Tensor,
        pull: torch.Tensor,
        excess: float,
        inverse: torch.Tensor | None,
    ) -> ClassParts:
        """What leaving out each of n ``rows`` does to class ``c``.

        A sample leaves a rank-one hole a x̃x̃ᵀ in a block. With h = a x̃ᵀP_c⁻¹x̃, y = B⁻¹x̃ and e = δ − γ the covariance
        part is ½ (−h − log1p(−h)) and ΔᵀP₋ᵢΔ = w²(σ + e‖y‖²) + 2w(x̃ᵀu + e yᵀu) + uᵀPu − a (x̃ᵀΔ)².

        Parameters
        ----------
        p, residual
            ``(n,)`` float64 p_c and r_c of the rows.
        pull
            b_c ``(D',)`` float64 in the coordinates z.
        excess
            δ − γ.
        inverse
            ``(D', D')`` in ``dtype`` to be filled with B_c⁻¹, or ``None``.
        """
        z, own = self.rows[rows], self.own[c, rows].double()
        factor = self.factor(c)
        u = torch.cholesky_solve(pull[:, None], factor)[:, 0]
        ju = (z @ u.to(self.dtype)).double()
        # Others first, by the diagonal; members are overwritten.
        solve = self.diagonal[c].reciprocal()
        apart = abs(excess) > SAME_PRIOR * self.ridge
        forms = _forms(z, torch.stack([solve, solve.square(), 1 / (self.diagonal[c] + excess)][: 3 if apart else 1]))
        sigma, half = forms[:, 0], factor.to(self.dtype)
        if apart:
            norm, spread = forms[:, 1], forms[:, 2]
            cross = (z @ (solve * u).to(self.dtype)).double()
            wider = self.factor(c, excess).to(self.dtype)
        for index in self.members(c, rows).split(GRAM_ROWS):
            member = z[index]
            y = solved_rows(half, member)
            sigma[index] = _squares(y)
            if apart:
                y = solved_rows(half, y, transposed=True)
                norm[index], cross[index] = _squares(y), (y @ u.to(self.dtype)).double()
                spread[index] = _squares(solved_rows(wider, member))
        w = (residual + own * ju) / (1 - own * sigma)
        logits = sigma * w + ju
        energy = w * (logits + ju) + pull @ u - own * logits.square()
        if apart:
            energy += excess * (w.square() * norm + 2 * w * cross + u @ u)
        if inverse is not None:
            inverse.copy_(inverse_of(factor))
        covariance = x_minus_log1p(-own * (spread if apart else sigma)) / 2
        return ClassParts(w, u, logits, p * (1 - p) * sigma, energy / 2, covariance)


class ClassBlockPreconditioner:
    """The class blocks' inverses, or those of their diagonals in the coordinates z where all together do not fit."""

    def __init__(self, blocks: ClassBlocks, progress: Progress = silent) -> None:
        self.inputs = blocks.inputs
        self.inverses = blocks.inverses(progress, "fit") if blocks.resident else blocks.diagonal.reciprocal()

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        """For a gradient ``(C, D')`` float64, in the coordinates x̃."""
        return solve_blocks(self.inverses, gradient @ self.inputs) @ self.inputs.T


def solve_blocks(inverses: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Π B⁻¹ Π of a gradient ``(C, D')``, Π the projection onto shifts that sum to zero over the classes."""
    turned = gradient.to(inverses.dtype)
    solved = turned * inverses if inverses.ndim == 2 else torch.bmm(inverses, turned[:, :, None])[:, :, 0]
    return (solved - solved.mean(dim=0)).to(gradient.dtype)


def class_curvature(p: torch.Tensor) -> torch.Tensor:
    """a ``(n, C)`` of probabilities ``(n, C)``."""
    classes = p.shape[1]
    return p * (1 - p) + (1 - p.square().sum(dim=1, keepdim=True)) / (classes * (classes - 1))


def inverse_bytes(classes: int, columns: int) -> float:
    """Of all classes' inverses together, in single precision."""
    return 4.0 * classes * columns**2


def _eigenvectors(design: Design, dtype: torch.dtype) -> torch.Tensor:
    def part(rows: slice) -> torch.Tensor:
        x = design.block(rows, dtype)
        return product(x.T, x)

    gram = torch.zeros(design.columns, design.columns, dtype=torch.float64, device=design.device)
    for block in in_parallel(part, design.row_blocks(PASS_ROWS), design.device):
        gram += block
    return torch.linalg.eigh(gram).eigenvectors


def _squares(rows: torch.Tensor) -> torch.Tensor:
    return rows.square().sum(dim=1, dtype=torch.float64)


def _forms(rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Σ_d weights_kd z_nd² ``(n, k)`` float64."""
    out = torch.empty(len(rows), len(weights), dtype=torch.float64, device=rows.device)
    right = weights.T.to(rows.dtype).contiguous()
    for start in range(0, len(rows), PASS_ROWS):
        out[start : start + PASS_ROWS] = rows[start : start + PASS_ROWS].square() @ right
    return out
