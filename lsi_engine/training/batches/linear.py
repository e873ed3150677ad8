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

import torch

from lsi_engine.errors import NotConverged
from lsi_engine.progress import Progress, silent
from lsi_engine.settings import Structure
from lsi_engine.training.batches.left_out import CPU_ELEMENTS, GPU_ELEMENTS, LeftOutScores
from lsi_engine.training.batches.linear_posteriors import POSTERIORS
from lsi_engine.training.descent import SgdSettings


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
        differences = torch.empty_like(self.difference)
        for models, gradient in self._gradients():
            differences[models] = gradient
        return differences

    def _gradients(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """∇_i − ∇ ``(m, C, D')`` for blocks of models."""
        rest = len(self.x) - 1
        shared = (self.data_gradient / rest).to(self.x.dtype)
        for models, change in self._probability_changes():
            change[self.own(models)] = -self.own_rows(self.residual, models)
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
        posteriors = POSTERIORS[self.hessian](self)
        parts = []
        for models, change in self._probability_changes():
            parts.append(posteriors.scores(models, change))
            progress("posteriors", models.stop, len(self.left_out))
        if not parts:
            return LeftOutScores.empty(self.theta, len(self.theta))
        return LeftOutScores(*(torch.cat(column) for column in list(zip(*parts, strict=True))[:3]))

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

    def own(self, models: slice) -> tuple[torch.Tensor, slice, torch.Tensor]:
        """Index of each model's own left-out row in ``(m, C, N)``."""
        rows = self.left_out[models]
        return torch.arange(len(rows), device=rows.device), slice(None), rows

    def own_rows(self, values: torch.Tensor, models: slice) -> torch.Tensor:
        """``(m, …)`` of each model's own left-out row, in the products' dtype."""
        return values[self.left_out[models]].to(self.x.dtype)
