"""Many leave-one-out trainings at once of a probe with one hidden ReLU layer, D → h → C.

Every model has its own weights; X̃ is shared, so the first layer of all models is one matrix product and the second a
batch of small ones. Model 0 leaves nothing out: the full run goes through exactly the same arithmetic as the others,
so that a difference between them is never a difference of rounding.
"""

from __future__ import annotations

import torch

from lsi_engine.errors import NotConverged
from lsi_engine.numerics.divergence import FactorisedPrecision
from lsi_engine.progress import Progress, silent
from lsi_engine.settings import Structure
from lsi_engine.training.batches.left_out import CPU_ELEMENTS, GPU_ELEMENTS, LeftOutScores
from lsi_engine.training.descent import SgdSettings


class HiddenBatch:
    """The full run and the leave-one-out runs of ``left_out``, advanced one epoch at a time.

    Parameters as in :class:`lsi_engine.training.batches.linear.LinearBatch`, except

    start
        Two layers, ``(h, D + 1)`` and ``(C, h + 1)``, bias last.

    The Laplace posterior is over all weights of both layers, with the generalised Gauss–Newton matrix (a ReLU layer
    makes it differ from the Hessian).
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
        self.x, self.targets, self.left_out, self.settings = x.to(dtype), targets, left_out, settings
        self.hessian, self.prior_precision = hessian, prior_precision
        models = len(left_out) + 1
        self.weights = [layer.to(self.x).expand(models, -1, -1).clone() for layer in start]
        self.velocity = [torch.zeros_like(layer) for layer in self.weights]
        self.one_hot = torch.nn.functional.one_hot(targets, start[1].shape[0]).T.to(self.x)
        elements = GPU_ELEMENTS if x.is_cuda else CPU_ELEMENTS
        self.block = max(1, elements // (max(start[0].shape[0], start[1].shape[0]) * len(x)))
        self.gradient = torch.zeros(())
        self.loss = self._evaluate()

    @property
    def layers(self) -> list[torch.Tensor]:
        """The full run's weights, one tensor ``(outputs, inputs + 1)`` a layer."""
        return [layer[0] for layer in self.weights]

    @property
    def probabilities(self) -> torch.Tensor:
        """``(N, C)`` of the full run."""
        return torch.softmax(self._forward(slice(0, 1))[2], dim=1)[0].T.to(torch.float64)

    def step(self) -> None:
        """One epoch of every run."""
        for begin in range(0, len(self.left_out) + 1, self.block):
            models = slice(begin, min(begin + self.block, len(self.left_out) + 1))
            gradients = self._gradients(models)
            if begin == 0:
                self.gradient = torch.cat([layer[0].flatten() for layer in gradients])
            for layer, velocity, gradient in zip(self.weights, self.velocity, gradients, strict=True):
                self.settings.descend_(layer[models], velocity[models], gradient)
        self.loss = self._evaluate()

    def score(self, progress: Progress = silent) -> LeftOutScores:
        """Divergences between the Laplace posteriors at the current weights."""
        finite = torch.stack([torch.isfinite(layer).flatten(1).all(dim=1) for layer in self.weights]).all(dim=0)[1:]
        if not bool(finite.all()):
            row = int(self.left_out[~finite][0])
            raise NotConverged(
                f"the training that leaves out sample {row} diverged: lower learning_rate or scale the features"
            )
        base, p = self._flat(0), self.probabilities
        curvature = self._diagonal if self.hessian == "diag" else self._full
        posterior = FactorisedPrecision(self._with_prior(curvature(0, None)))
        rows = []
        for m, i in enumerate(self.left_out.tolist(), start=1):
            other = self._with_prior(curvature(m, i))
            parts = posterior.divergence(self._flat(m) - base, other)
            rows.append((*parts, torch.softmax(self._forward(slice(m, m + 1))[2], dim=1)[0, :, i]))
            progress("posteriors", m, len(self.left_out))
        if not rows:
            return LeftOutScores.empty(base, p.shape[1])
        shifts, covariances, probabilities = (torch.stack(column) for column in zip(*rows, strict=True))
        return LeftOutScores(shifts, covariances, probabilities.to(torch.float64))

    def silent_units(self) -> float:
        """Share of hidden units that are off for every sample of the full run."""
        return float((self._forward(slice(0, 1))[0][0] <= 0).all(dim=1).double().mean())

    def _forward(self, models: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pre-activations ``(m, h, N)``, activations and logits ``(m, C, N)``."""
        first, second = (layer[models] for layer in self.weights)
        z = (first.flatten(0, 1) @ self.x.T).view(len(first), -1, len(self.x))
        active = z.clamp(min=0)
        logits = torch.baddbmm(second[:, :, -1:], second[:, :, :-1], active)
        return z, active, logits

    def _gradients(self, models: slice) -> list[torch.Tensor]:
        z, active, logits = self._forward(models)
        first, second = (layer[models] for layer in self.weights)
        residual = torch.softmax(logits, dim=1).sub_(self.one_hot)
        samples = torch.full((len(first), 1, 1), len(self.x) - 1.0).to(first)
        if models.start == 0:
            samples[0] = len(self.x)
        rows = self.left_out[max(models.start - 1, 0) : models.stop - 1]
        own = torch.arange(len(first) - len(rows), len(first), device=rows.device)
        residual[own, :, rows] = 0
        residual.div_(samples)
        upper = torch.cat([residual @ active.transpose(1, 2), residual.sum(dim=2, keepdim=True)], dim=2)
        back = torch.bmm(second[:, :, :-1].transpose(1, 2), residual).mul_(z > 0)
        lower = (back.flatten(0, 1) @ self.x).view_as(first)
        decay = self.settings.weight_decay
        return [lower.add_(first, alpha=decay), upper.add_(second, alpha=decay)]

    def _evaluate(self) -> float:
        log_p = torch.log_softmax(self._forward(slice(0, 1))[2], dim=1)[0]
        penalty = sum(float(layer.double().square().sum()) for layer in self.layers)
        return float(-log_p.gather(0, self.targets[None]).double().mean()) + self.settings.weight_decay / 2 * penalty

    def _flat(self, model: int) -> torch.Tensor:
        return torch.cat([layer[model].flatten() for layer in self.weights]).to(torch.float64)

    def _with_prior(self, precision: torch.Tensor) -> torch.Tensor:
        if precision.ndim == 1:
            return precision + self.prior_precision
        precision.diagonal().add_(self.prior_precision)
        return precision

    def _state(self, model: int, without: int | None) -> tuple[torch.Tensor, ...]:
        """In float64, samples first: kept rows of X̃, [activations, 1], where units are on, W₂ and P."""
        z, active, logits = (values[0].T.to(torch.float64) for values in self._forward(slice(model, model + 1)))
        kept = torch.ones(len(z), dtype=torch.bool, device=z.device)
        if without is not None:
            kept[without] = False
        hidden = torch.cat([active, active.new_ones(len(active), 1)], dim=1)
        w2 = self.weights[1][model, :, :-1].to(torch.float64)
        return self.x[kept].to(torch.float64), hidden[kept], (z > 0)[kept], w2, torch.softmax(logits, dim=1)[kept]

    def _diagonal(self, model: int, without: int | None) -> torch.Tensor:
        """diag Σ JᵀFJ: output weights see p(1 − p), hidden unit j sees the variance of W₂[:, j] under p."""
        x, hidden, on, w2, p = self._state(model, without)
        upper = (p * (1 - p)).T @ hidden.square()
        variance = (p @ w2.square() - (p @ w2).square()) * on
        return torch.cat([(variance.T @ x.square()).flatten(), upper.flatten()])

    def _full(self, model: int, without: int | None) -> torch.Tensor:
        """Σ JᵀFJ = Σ (BJ)ᵀ(BJ) with F = BᵀB, B = diag(√p)(I − 1pᵀ), in blocks of rows."""
        x, hidden, on, w2, p = self._state(model, without)
        units, classes = w2.shape[1], w2.shape[0]
        columns = units * x.shape[1] + classes * hidden.shape[1]
        total = x.new_zeros(columns, columns)
        for rows in torch.arange(len(x), device=x.device).split(max(1, (1 << 24) // (classes * columns))):
            lower = torch.einsum("cj,nj,nd->ncjd", w2, on[rows].to(w2), x[rows]).flatten(2)
            eye = torch.eye(classes, dtype=x.dtype, device=x.device)
            upper = torch.einsum("ck,nj->nckj", eye, hidden[rows]).flatten(2)
            jacobian = torch.cat([lower, upper], dim=2)
            mean = torch.einsum("nc,nck->nk", p[rows], jacobian)
            root = (p[rows].sqrt()[:, :, None] * (jacobian - mean[:, None])).flatten(0, 1)
            total += root.T @ root
        return total
