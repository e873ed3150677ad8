"""Many leave-one-out trainings of the linear probe at once, each held as its difference from the run on all samples.

With E_i = θ₋ᵢ − θ, f = X̃E_iᵀ the change of the logits, e = expm1(f), s = Σ_c P e and P the full run's probabilities,

    P(θ₋ᵢ) − P = P (e − s) / (1 + s)

exactly, so that the difference of the two gradients is

    ∇_i − ∇ = [X̃ᵀ(P(θ₋ᵢ) − P, with row i replaced by −r_i) + g] / (N − 1) + wd·E_i,

r_i = P_i − e_{y_i} and g = ∇ of the full run's mean cross-entropy. Differences are of the order 1/N; written this way
nothing of order 1 is subtracted, and single precision costs seven digits of the *difference* and not of the weights.
Two matrix products a step serve all models, as X̃ is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from lsi_engine.curvature.kronecker import KroneckerCurvature
from lsi_engine.errors import NotConverged
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.numerics.gaussian import gaussian_kl, x_minus_log1p
from lsi_engine.numerics.grams import WeightedGram, class_covariance
from lsi_engine.progress import Progress, silent
from lsi_engine.settings import Structure
from lsi_engine.training.descent import SgdSettings

#: Elements of a block's largest temporary, (models, C, N): in the processor's cache on a CPU.
CPU_ELEMENTS, GPU_ELEMENTS = 1 << 20, 1 << 27


class LeftOutScores(NamedTuple):
    """Of each left-out sample: both parts of LSI ``(M,)`` in nats and its own class probabilities ``(M, C)``."""

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    probabilities: torch.Tensor


class LinearBatch:
    """The full run and the leave-one-out runs of ``left_out``, advanced one epoch at a time.

    Parameters
    ----------
    x
        X̃ ``(N, D')`` float64, bias column last.
    targets
        ``(N,)`` int64.
    start
        One layer ``(C, D')``: the weights from which every run starts.
    left_out
        ``(M,)`` int64 rows, one model each; may be empty.
    hessian, prior_precision
        Structure of the posterior and δ.
    dtype
        Of the products over all models; the full run and the divergence are float64.
    """

    def __init__(
        self,
        x: torch.Tensor,
        targets: torch.Tensor,
        start: list[torch.Tensor],
        left_out: torch.Tensor,
        settings: SgdSettings,
        *,
        hessian: Structure,
        prior_precision: float,
        dtype: torch.dtype,
    ) -> None:
        self.x64, self.targets, self.left_out, self.settings = x, targets, left_out, settings
        self.x = x.to(dtype)
        self.hessian, self.prior_precision = hessian, prior_precision
        self.theta = start[0].to(x).clone()
        self.velocity = torch.zeros_like(self.theta)
        classes, columns = self.theta.shape
        self.difference = torch.zeros(len(left_out), classes, columns, dtype=dtype, device=x.device)
        self.difference_velocity = torch.zeros_like(self.difference)
        elements = GPU_ELEMENTS if x.is_cuda else CPU_ELEMENTS
        self.block = max(1, elements // (classes * len(x)))
        self._forward()

    def _forward(self) -> None:
        """Probabilities, gradient and loss of the full run at its current weights."""
        log_p = torch.log_softmax(self.x64 @ self.theta.T, dim=1)
        picked = log_p.gather(1, self.targets[:, None])
        self.log_probabilities, self.probabilities = log_p, log_p.exp()
        self.residual = self.probabilities.scatter_add(1, self.targets[:, None], -torch.ones_like(picked))
        self.data_gradient = self.residual.T @ self.x64 / len(self.x64)
        self.gradient = self.data_gradient + self.settings.weight_decay * self.theta
        #: mean loss with the penalty
        self.loss = float(-picked.mean() + self.settings.weight_decay / 2 * self.theta.square().sum())

    @property
    def layers(self) -> list[torch.Tensor]:
        """The full run's weights, one tensor ``(outputs, inputs + 1)`` a layer."""
        return [self.theta]

    def step(self) -> None:
        """One epoch of every run."""
        for models, gradient in self._gradients():
            self.settings.descend_(self.difference[models], self.difference_velocity[models], gradient)
        self.step_full_run(1)

    def step_full_run(self, epochs: int) -> list[float]:
        """``epochs`` of the full run alone; its loss after each."""
        losses = []
        # Out of place: `return_to` may ask for the tensors from before.
        self.theta, self.velocity = self.theta.clone(), self.velocity.clone()
        for _ in range(epochs):
            self.settings.descend_(self.theta, self.velocity, self.gradient)
            self._forward()
            losses.append(self.loss)
        return losses

    def return_to(self, theta: torch.Tensor, velocity: torch.Tensor) -> None:
        """Put the full run back to where it was."""
        self.theta, self.velocity = theta, velocity
        self._forward()

    def gradient_differences(self) -> torch.Tensor:
        """∇_i − ∇ ``(M, C, D')`` at the current weights."""
        found = torch.empty_like(self.difference)
        for models, gradient in self._gradients():
            found[models] = gradient
        return found

    def _gradients(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """∇_i − ∇ ``(m, C, D')`` for blocks of models."""
        rest = len(self.x) - 1
        shared = (self.data_gradient / rest).to(self.x.dtype)
        for models, change in self._probability_changes():
            change[self._own(models)] = -self._own_rows(self.residual, models)
            weights = self.difference[models]
            gradient = torch.addmm(
                weights.flatten(0, 1),
                change.flatten(0, 1),
                self.x,
                beta=self.settings.weight_decay,
                alpha=1 / rest,
            )
            yield models, gradient.view_as(weights).add_(shared)

    def score(self, progress: Progress = silent) -> LeftOutScores:
        """Divergences between the Laplace posteriors at the current weights, curvature at each run's own weights."""
        if not bool(torch.isfinite(self.difference).all()):
            row = int(self.left_out[~torch.isfinite(self.difference).flatten(1).all(dim=1)][0])
            raise NotConverged(
                f"the training that leaves out sample {row} diverged: lower learning_rate, scale the features or use "
                "precision='float64'"
            )
        divergences = {
            "diag": self._diagonal_scores,
            "kron": self._kronecker_scores,
            "full": self._full_scores,
        }[self.hessian]
        parts = []
        for models, change in self._probability_changes():
            parts.append(divergences(models, change))
            progress("posteriors", models.stop, len(self.left_out))
        if not parts:
            empty = self.theta.new_empty(0)
            return LeftOutScores(empty, empty, self.theta.new_empty(0, len(self.theta)))
        return LeftOutScores(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _probability_changes(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """P(θ₋ᵢ) − P ``(m, C, N)`` for blocks of models; the caller may write to it."""
        p = self.probabilities.T.to(self.x.dtype).contiguous()
        for begin in range(0, len(self.left_out), self.block):
            models = slice(begin, min(begin + self.block, len(self.left_out)))
            weights = self.difference[models]
            e = torch.expm1_(weights.flatten(0, 1) @ self.x.T).view(len(weights), *p.shape)
            s = (e * p).sum(dim=1, keepdim=True)
            # Early on raw features a logit can move so far that e overflows or 1 + s loses its digits; the change is
            # then of order 1 and a plain subtraction keeps it.
            far = ~((s > -0.9) & (s < 1e20))
            change = e.sub_(s).mul_(p).div_(s.add_(1))
            if bool(far.any()):
                moved = self.log_probabilities.T.to(e) + (weights.flatten(0, 1) @ self.x.T).view_as(e)
                change = torch.where(far, torch.softmax(moved, dim=1) - p, change)
            yield models, change

    def _own(self, models: slice) -> tuple[torch.Tensor, slice, torch.Tensor]:
        """Index of each model's own left-out row in ``(m, C, N)``."""
        rows = self.left_out[models]
        return torch.arange(len(rows), device=rows.device), slice(None), rows

    def _own_rows(self, values: torch.Tensor, models: slice) -> torch.Tensor:
        return values[self.left_out[models]].to(self.x.dtype)

    def _diagonal_scores(self, models: slice, change: torch.Tensor) -> LeftOutScores:
        """diag(P₋ᵢ) − diag(P) from p' (1 − p') − p (1 − p) = d (1 − 2p − d), d = p' − p."""
        own = self._own(models)
        p = self.probabilities
        probabilities = p[self.left_out[models]] + change[own].to(torch.float64)
        curvature = p * (1 - p)
        diagonal = curvature.T @ self.x64.square() + self.prior_precision
        factor = (1 - 2 * p).T.to(self.x.dtype) - change
        change.mul_(factor)
        change[own] = -self._own_rows(curvature, models)
        added = (change.flatten(0, 1) @ self.x.square()).view_as(self.difference[models]).to(torch.float64)
        shift = self.difference[models].to(torch.float64)
        mean_shift = ((diagonal + added) * shift.square()).flatten(1).sum(dim=1) / 2
        covariance = x_minus_log1p(added / diagonal).flatten(1).sum(dim=1) / 2
        return LeftOutScores(mean_shift, covariance, probabilities)

    def _kronecker_scores(self, models: slice, change: torch.Tensor) -> LeftOutScores:
        """The diagonal of each model's curvature in the Kronecker eigenbasis of the full run."""
        basis = contrasts(len(self.theta), dtype=torch.float64, device=self.x.device)
        p, features = self.probabilities, self.x64[:, :-1]
        curvature = KroneckerCurvature(Design(features, FeatureScaling.identity(features.shape[1])), p, basis)
        before, squared = curvature.own(p), curvature.project(self.x64).square()
        precision = curvature.data + self.prior_precision
        rows: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for i, d in zip(self.left_out[models].tolist(), change.to(torch.float64), strict=True):
            after = curvature.own(p + d.T)
            after[i] = 0
            added = (after - before).T @ squared
            difference = self.difference[models][len(rows)].to(torch.float64)
            shift = curvature.coordinates(basis.T @ difference)
            parts = gaussian_kl(
                torch.zeros_like(shift).flatten(), precision.flatten(), shift.flatten(), (precision + added).flatten()
            )
            rows.append((parts.mean_shift, parts.covariance, p[i] + d[:, i]))
        return LeftOutScores(*(torch.stack(column) for column in zip(*rows, strict=True)))

    def _full_scores(self, models: slice, change: torch.Tensor) -> LeftOutScores:
        """The whole precision of each model in turn, in the contrasts (differences have none outside them)."""
        basis = contrasts(len(self.theta), dtype=torch.float64, device=self.x.device)
        p = self.probabilities
        before = class_covariance(p, basis)
        precision = _weighted_gram(self.x64, before)
        precision.diagonal().add_(self.prior_precision)
        rows: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for i, d in zip(self.left_out[models].tolist(), change.to(torch.float64), strict=True):
            after = class_covariance(p + d.T, basis)
            after[i] = 0
            added = _weighted_gram(self.x64, after - before)
            shift = (basis.T @ self.difference[models][len(rows)].to(torch.float64)).reshape(-1)
            parts = gaussian_kl(torch.zeros_like(shift), precision, shift, precision + added)
            rows.append((parts.mean_shift, parts.covariance, p[i] + d[:, i]))
        return LeftOutScores(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _weighted_gram(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    gram = WeightedGram(weights.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
    gram.add(x, weights)
    return gram.matrix()
