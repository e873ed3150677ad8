"""Many leave-one-out trainings at once of two contrastive heads.

As in :mod:`lsi_engine.training.batches.hidden`: the features are shared, so each head of all models is one matrix
product, and model 0 leaves nothing out and goes through the same arithmetic as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from lsi_engine.curvature.pairs import contrastive_ggn
from lsi_engine.errors import NotConverged
from lsi_engine.losses.contrastive import ContrastiveLoss, absent_entries
from lsi_engine.numerics.divergence import FactorisedPrecision
from lsi_engine.progress import Progress, silent
from lsi_engine.training.batches.left_out import CPU_ELEMENTS, GPU_ELEMENTS, LeftOutScores
from lsi_engine.training.descent import SgdSettings


@dataclass(frozen=True)
class Pairs:
    """What contrastive heads are trained on.

    Attributes
    ----------
    images, texts
        ``(n, D + 1)`` scaled features, bias column last; one dtype.
    groups
        ``(n,)`` int64: pairs of one group are no negatives of each other.
    """

    images: torch.Tensor
    texts: torch.Tensor
    groups: torch.Tensor

    def __len__(self) -> int:
        return len(self.groups)

    def to(self, dtype: torch.dtype) -> Pairs:
        return Pairs(self.images.to(dtype), self.texts.to(dtype), self.groups)


class PairBatch:
    """The full run and the leave-one-out runs of ``left_out``, advanced one epoch at a time.

    Parameters
    ----------
    start
        Two heads, ``(d, D_image + 1)`` and ``(d, D_text + 1)``.
    left_out
        ``(m,)`` int64 pairs, one model each; may be empty.
    hessian, prior_precision
        Structure of the posterior over both heads, and δ.
    dtype
        Of the trainings; posteriors are float64.
    """

    def __init__(
        self,
        pairs: Pairs,
        loss: ContrastiveLoss,
        start: list[torch.Tensor],
        left_out: torch.Tensor,
        settings: SgdSettings,
        *,
        hessian: Literal["diag", "full"],
        prior_precision: float,
        dtype: torch.dtype,
    ) -> None:
        self.objective, self.left_out, self.settings = loss, left_out, settings
        self.double = pairs.to(torch.float64)
        self.pairs = pairs.to(dtype)
        self.hessian, self.prior_precision = hessian, prior_precision
        self.without = torch.cat([left_out.new_full((1,), -1), left_out])
        self.weights = [head.to(self.pairs.images).expand(len(self.without), -1, -1).clone() for head in start]
        self.velocity = [torch.zeros_like(head) for head in self.weights]
        elements = GPU_ELEMENTS if left_out.is_cuda else CPU_ELEMENTS
        self.block = max(1, elements // len(pairs) ** 2)
        self.gradient = torch.zeros(())
        self.loss = float("nan")
        self._gradients(slice(0, 1))

    @property
    def layers(self) -> list[torch.Tensor]:
        """The full run's heads."""
        return [head[0] for head in self.weights]

    def step(self) -> None:
        """One epoch of every run."""
        for begin in range(0, len(self.without), self.block):
            models = slice(begin, min(begin + self.block, len(self.without)))
            gradients = self._gradients(models)
            for head, velocity, gradient in zip(self.weights, self.velocity, gradients, strict=True):
                self.settings.descend_(head[models], velocity[models], gradient)

    def score(self, progress: Progress = silent) -> LeftOutScores:
        """Divergences between the posteriors at the current weights, and what each left-out pair would match.

        ``probabilities (m, n)``: the mean of what the pair's image chooses among the texts and its text among the
        images, the pair put back for this; pairs of its group are no choice.
        """
        finite = torch.stack([torch.isfinite(head).flatten(1).all(dim=1) for head in self.weights]).all(dim=0)
        if not bool(finite.all()):
            row = int(self.without[~finite][0])
            what = "on all pairs" if row < 0 else f"that leaves out pair {row}"
            raise NotConverged(f"the training {what} diverged: lower learning_rate or scale the features")
        pairs, count = self.double, len(self.pairs)
        base = self._heads(0)
        whole = absent_entries(pairs.groups, self.without[:1])[0]
        posterior = FactorisedPrecision(self._precision(pairs, base, whole))
        shifts, covariances, matches = [], [], []
        for m in range(1, len(self.without)):
            heads = self._heads(m)
            own = self.without[m : m + 1]
            other = self._precision(pairs, heads, absent_entries(pairs.groups, own)[0])
            parts = posterior.divergence(_flat(heads) - _flat(base), other)
            shifts.append(parts.mean_shift)
            covariances.append(parts.covariance)
            matches.append(match_probabilities(self.objective, pairs, heads, int(own)))
            progress("posteriors", m, len(self.left_out))
        if not matches:
            return LeftOutScores.empty(base[0], count)
        return LeftOutScores(torch.stack(shifts), torch.stack(covariances), torch.stack(matches), self._norms())

    def _norms(self) -> torch.Tensor:
        """‖∇‖ ``(m,)`` of each left-out run where it stands."""
        norms = []
        for begin in range(1, len(self.without), self.block):
            models = slice(begin, min(begin + self.block, len(self.without)))
            heads = [head[models] for head in self.weights]
            gradients, _ = mean_gradients(
                self.objective, self.pairs, heads, self.without[models], self.settings.weight_decay
            )
            norms.append(torch.cat([gradient.flatten(1) for gradient in gradients], dim=1).double().norm(dim=1))
        return torch.cat(norms)

    def _heads(self, model: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, text = (head[model].double() for head in self.weights)
        return image, text

    def _precision(self, pairs: Pairs, heads: tuple[torch.Tensor, torch.Tensor], absent: torch.Tensor) -> torch.Tensor:
        precision = contrastive_ggn(self.objective, pairs.images, pairs.texts, heads, absent, self.hessian)
        diagonal = precision if precision.ndim == 1 else precision.diagonal()
        diagonal.add_(self.prior_precision)
        return precision

    def _gradients(self, models: slice) -> list[torch.Tensor]:
        """∇ of the mean loss with weight decay of each head; notes the full run's on the way."""
        heads = [head[models] for head in self.weights]
        gradients, losses = mean_gradients(
            self.objective, self.pairs, heads, self.without[models], self.settings.weight_decay
        )
        if models.start == 0:
            self.gradient = torch.cat([gradient[0].flatten() for gradient in gradients])
            self.loss = float(losses[0])
        return gradients


def mean_gradients(
    loss: ContrastiveLoss, pairs: Pairs, heads: Sequence[torch.Tensor], without: torch.Tensor, weight_decay: float
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """∇ of the mean loss + (wd/2)‖θ‖² of m models, ``(m, d, D + 1)`` a head, and its value ``(m,)``.

    ``without (m,)`` names the pair that each model leaves out, −1 for none.
    """
    features = (pairs.images, pairs.texts)
    z, w = (
        (x @ head.flatten(0, 1).T).view(len(x), len(head), -1).transpose(0, 1)
        for x, head in zip(features, heads, strict=True)
    )
    losses, by_image, by_text = loss.choices(z, w, absent_entries(pairs.groups, without))
    pulls = loss.gradients(z, w, by_image, by_text)
    counts = (len(pairs) - (without >= 0).to(losses))[:, None, None]
    gradients = [
        (pull.transpose(0, 1).flatten(1).T @ x).view_as(head).div_(counts).add_(head, alpha=weight_decay)
        for pull, x, head in zip(pulls, features, heads, strict=True)
    ]
    penalty = sum((head.square().sum(dim=(1, 2)) for head in heads), torch.zeros_like(losses[:, 0]))
    return gradients, losses.sum(dim=1) / counts[:, 0, 0] + weight_decay / 2 * penalty


def match_probabilities(
    loss: ContrastiveLoss, pairs: Pairs, heads: tuple[torch.Tensor, torch.Tensor], own: int
) -> torch.Tensor:
    """``(n,)``: mean of what image ``own`` chooses among all texts and text ``own`` among all images."""
    s = loss.similarities((pairs.images @ heads[0].T)[None], (pairs.texts @ heads[1].T)[None])[0]
    same = pairs.groups == pairs.groups[own]
    same[own] = False
    image, text = (torch.softmax(line.masked_fill(same, -torch.inf), dim=0) for line in (s[own], s[:, own]))
    return (image + text) / 2


def _flat(heads: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return torch.cat([head.flatten() for head in heads])
