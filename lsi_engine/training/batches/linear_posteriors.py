"""The posteriors of many leave-one-out linear probes against that of the run on all samples, which is made once.

The curvature is taken at each run's own weights. A run is known by ``change (m, C, N)``, P(θ₋ᵢ) − P of a block of
models, which may be overwritten.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

import torch

from lsi_engine.curvature.kronecker import KroneckerCurvature
from lsi_engine.losses.softmax import class_covariance, contrasts
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.numerics.divergence import FactorisedPrecision, x_minus_log1p
from lsi_engine.numerics.grams import streamed_grams
from lsi_engine.training.batches.left_out import LeftOutScores


class LinearModels(Protocol):
    """Linear probes of which each lacks a sample, as ``LinearBatch`` (beside this module) holds them.

    ``x``, ``x64 (N, D')``: X̃; ``probabilities (N, C)`` and ``theta (C, D')`` of the run on all samples;
    ``difference (M, C, D')``: θ₋ᵢ − θ; ``left_out (M,)``: i; ``prior_precision``: δ.
    """

    x: torch.Tensor
    x64: torch.Tensor
    probabilities: torch.Tensor
    theta: torch.Tensor
    difference: torch.Tensor
    left_out: torch.Tensor
    prior_precision: float

    def own(self, models: slice) -> tuple[torch.Tensor, slice, torch.Tensor]: ...
    def own_rows(self, values: torch.Tensor, models: slice) -> torch.Tensor: ...


class DiagonalPosteriors:
    """diag(P₋ᵢ) − diag(P) from p' (1 − p') − p (1 − p) = d (1 − 2p − d), d = p' − p."""

    def __init__(self, batch: LinearModels) -> None:
        self.batch, p = batch, batch.probabilities
        self.curvature = p * (1 - p)
        self.diagonal = self.curvature.T @ batch.x64.square() + batch.prior_precision
        self.slope = (1 - 2 * p).T.to(batch.x.dtype)
        self.squared = batch.x.square()

    def scores(self, models: slice, change: torch.Tensor) -> LeftOutScores:
        batch = self.batch
        own, difference = batch.own(models), batch.difference[models]
        probabilities = batch.probabilities[batch.left_out[models]] + change[own].to(torch.float64)
        change.mul_(self.slope - change)
        change[own] = -batch.own_rows(self.curvature, models)
        added = (change.flatten(0, 1) @ self.squared).view_as(difference).to(torch.float64)
        shift = difference.to(torch.float64)
        mean_shift = ((self.diagonal + added) * shift.square()).flatten(1).sum(dim=1) / 2
        covariance = x_minus_log1p(added / self.diagonal).flatten(1).sum(dim=1) / 2
        return LeftOutScores(mean_shift, covariance, probabilities)


class _OneByOne(ABC):
    """Posteriors that are compared one model after another, in the contrasts (differences have none outside them)."""

    def __init__(self, batch: LinearModels) -> None:
        self.batch = batch
        self.basis = contrasts(len(batch.theta), dtype=torch.float64, device=batch.x64.device)
        # X̃ as it is: its bias column is there already.
        scaling = FeatureScaling.identity(batch.x64.shape[1])
        self.design = Design(batch.x64, scaling, batch.x64.device, bias=False)
        self.precision = FactorisedPrecision(self.base())

    @abstractmethod
    def base(self) -> torch.Tensor:
        """P of the full run, prior included."""

    @abstractmethod
    def added(self, probabilities: torch.Tensor, row: int) -> torch.Tensor:
        """P₋ᵢ − P of a run with ``probabilities (N, C)`` that leaves out ``row``."""

    def coordinates(self, difference: torch.Tensor) -> torch.Tensor:
        """E_i in the contrasts, ``(R, D')``, in P's coordinates."""
        return difference

    def scores(self, models: slice, change: torch.Tensor) -> LeftOutScores:
        return LeftOutScores(*(torch.stack(column) for column in zip(*self._rows(models, change), strict=True)))

    def _rows(self, models: slice, change: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        batch = self.batch
        left_out = batch.left_out[models].tolist()
        for i, d, difference in zip(left_out, change.to(torch.float64), batch.difference[models], strict=True):
            p = batch.probabilities + d.T
            shift = self.coordinates(self.basis.T @ difference.to(torch.float64)).flatten()
            parts = self.precision.divergence(shift, self.precision.precision + self.added(p, i))
            yield parts.mean_shift, parts.covariance, p[i]


class KroneckerPosteriors(_OneByOne):
    """The diagonal of each model's curvature in the Kronecker eigenbasis of the full run."""

    def base(self) -> torch.Tensor:
        p = self.batch.probabilities
        self.curvature = KroneckerCurvature(self.design, p, self.basis)
        self.squared = self.curvature.project(self.batch.x64).square()
        self.own = self.curvature.own(p)
        return (self.curvature.data + self.batch.prior_precision).flatten()

    def added(self, probabilities: torch.Tensor, row: int) -> torch.Tensor:
        after = self.curvature.own(probabilities)
        after[row] = 0
        return ((after - self.own).T @ self.squared).flatten()

    def coordinates(self, difference: torch.Tensor) -> torch.Tensor:
        return self.curvature.coordinates(difference)


class FullPosteriors(_OneByOne):
    """The whole precision of each model."""

    def base(self) -> torch.Tensor:
        self.covariance = class_covariance(self.batch.probabilities, self.basis)
        precision = self._gram(self.covariance)
        precision.diagonal().add_(self.batch.prior_precision)
        return precision

    def added(self, probabilities: torch.Tensor, row: int) -> torch.Tensor:
        after = class_covariance(probabilities, self.basis)
        after[row] = 0
        return self._gram(after - self.covariance)

    def _gram(self, weights: torch.Tensor) -> torch.Tensor:
        shape = (1, weights.shape[1])
        return streamed_grams(self.design, lambda rows, x: weights[rows][:, None], shape, dtype=torch.float64)[0]


POSTERIORS: dict[str, type[DiagonalPosteriors] | type[KroneckerPosteriors] | type[FullPosteriors]] = {
    "diag": DiagonalPosteriors,
    "kron": KroneckerPosteriors,
    "full": FullPosteriors,
}
