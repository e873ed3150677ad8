"""The contrastive loss on pairs, stated once: two linear heads into a shared space, each pair against all others.

Images x̃_i and texts ṽ_i (bias column last) meet as z_i = Ax̃_i and w_j = Bṽ_j, ``(d,)``, with the similarity

    S_ij = cos(z_i, w_j) / τ    (``cosine``, as in NT-Xent and CLIP)    or    z_iᵀw_j / (τ√d)    (``dot``).

The loss of pair i, in nats, is the mean of its two cross-entropies, the image choosing among the texts and the text
among the images (InfoNCE, as in CLIP; negatives of the same kind, which SimCLR's NT-Xent adds, are not used):

    ℓ_i = −½ log softmax_j(S_ij)[i] − ½ log softmax_j(S_ji)[i].

Training minimises (1/N) Σ_i ℓ_i + (wd/2)(‖A‖² + ‖B‖²). **Leaving pair i out removes its row and its column**: it loses
its own loss, and it no longer is a negative of the others. Pairs of the same image are no negatives of each other:
their entries never take part.

Under ``cosine`` the loss does not depend on the length of A or B, so weight decay only shortens them and there is no
optimum to converge to: such heads are trained for a fixed number of epochs. Under ``dot`` there is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from lsi_engine.errors import InputError, one_of

Similarity = Literal["cosine", "dot"]


@dataclass(frozen=True)
class ContrastiveLoss:
    """The loss of any number m of models at once; all of n pairs; tensors of any floating type.

    Attributes
    ----------
    temperature
        τ (CLIP starts at 0.07, NT-Xent uses 0.1 to 0.5).
    similarity
        ``"cosine"`` or ``"dot"``; see the module.
    """

    temperature: float = 0.1
    similarity: Similarity = "cosine"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"temperature is {self.temperature}; it must be positive and finite (NT-Xent: 0.1)")
        one_of("similarity", self.similarity, ("cosine", "dot"))

    def unit(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings ``(…, d)`` as the similarity sees them, and the lengths ``(…, 1)`` they were divided by."""
        if self.similarity == "dot":
            return z, z.new_ones(()).expand(*z.shape[:-1], 1)
        length = z.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny ** 0.5)
        return z / length, length

    def scale(self, dimension: int) -> float:
        """What a product of two unit embeddings is multiplied by."""
        return 1 / self.temperature if self.similarity == "cosine" else 1 / (self.temperature * math.sqrt(dimension))

    def similarities(self, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """S ``(m, n, n)``, images down, texts across."""
        return self.scale(z.shape[-1]) * self.unit(z)[0] @ self.unit(w)[0].transpose(1, 2)

    def choices(
        self, z: torch.Tensor, w: torch.Tensor, absent: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What each image and each text would choose.

        Parameters
        ----------
        z, w
            ``(m, n, d)`` embeddings.
        absent
            ``(m or 1, n, n)`` bool: entries of S that do not take part (see :func:`absent_entries`).

        Returns
        -------
        losses
            ``(m, n)`` ℓ; of a pair left out, 0.
        by_image, by_text
            ``(m, n, n)`` softmax over each row and over each column; 0 where absent.
        """
        s = self.similarities(z, w).masked_fill(absent, -math.inf)
        present = ~absent.diagonal(dim1=1, dim2=2)  # (m or 1, n)
        # A pair left out has no finite entry; its softmax is a NaN that must not reach the others.
        rows, columns = (torch.log_softmax(s, dim=dim) for dim in (2, 1))
        own = (rows.diagonal(dim1=1, dim2=2) + columns.diagonal(dim1=1, dim2=2)) / 2
        losses = torch.where(present, -own, 0)
        by_image = rows.exp_().masked_fill_(~present[:, :, None], 0)
        by_text = columns.exp_().masked_fill_(~present[:, None, :], 0)
        return losses, by_image, by_text

    def gradients(
        self, z: torch.Tensor, w: torch.Tensor, by_image: torch.Tensor, by_text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """∂(Σ_i ℓ_i)/∂z and /∂w ``(m, n, d)`` from what :meth:`choices` gave, which is overwritten."""
        pull = by_image.add_(by_text).mul_(0.5)  # ∂/∂S = ½(P − I) + ½(Q − I) for the pairs present
        diagonal = pull.diagonal(dim1=1, dim2=2)
        # The diagonal of a pair that takes part is positive; of one left out, all entries are 0.
        diagonal.sub_((pull.sum(dim=2) > 0).to(pull))
        pull.mul_(self.scale(z.shape[-1]))
        (zu, z_length), (wu, w_length) = self.unit(z), self.unit(w)
        gz, gw = pull @ wu, pull.transpose(1, 2) @ zu
        if self.similarity == "cosine":
            gz = (gz - zu * (zu * gz).sum(dim=-1, keepdim=True)) / z_length
            gw = (gw - wu * (wu * gw).sum(dim=-1, keepdim=True)) / w_length
        return gz, gw

    def entry_jacobians(self, z: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """∂S_ij/∂z_i and ∂S_ij/∂w_j, each ``(a, b, d)``, of images ``z (a, d)`` and texts ``w (b, d)`` of one model."""
        (zu, z_length), (wu, w_length) = self.unit(z), self.unit(w)
        scale = self.scale(z.shape[-1])
        if self.similarity == "dot":
            return scale * wu.expand(len(z), -1, -1), scale * zu[:, None].expand(-1, len(w), -1)
        cosine = (zu @ wu.T)[:, :, None]
        in_z = scale * (wu[None] - cosine * zu[:, None]) / z_length[:, None]
        in_w = scale * (zu[:, None] - cosine * wu[None]) / w_length[None]
        return in_z, in_w


def absent_entries(groups: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
    """``(m, n, n)`` bool: entries of S without part in the loss of the models that leave out pairs ``left_out (m,)``.

    −1 leaves none out. ``groups (n,)`` are integers: pairs of one group (one image) are no negatives of each other.
    """
    own = torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    same = (groups[:, None] == groups) & ~own
    gone = torch.arange(len(groups), device=groups.device) == left_out[:, None]
    return same | gone[:, :, None] | gone[:, None, :]


def initial_heads(image: int, text: int, dimension: int, seed: int) -> list[torch.Tensor]:
    """Two heads ``(d, D + 1)``, bias last: ``nn.Linear(D_image, d)``, then ``nn.Linear(D_text, d)``, under ``seed``.

    torch's own random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = [torch.nn.Linear(inputs, dimension) for inputs in (image, text)]
    return [torch.cat([head.weight, head.bias[:, None]], dim=1).detach() for head in heads]
