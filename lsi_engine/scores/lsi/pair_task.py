"""The trainings that a score of pairs is made of: what each starts from, what it is, and how it is told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.losses.contrastive import ContrastiveLoss, initial_heads
from lsi_engine.progress import Progress
from lsi_engine.training.batches.pairs import PairBatch, Pairs
from lsi_engine.training.descent import SgdSettings
from lsi_engine.training.pair_fit import fit_pairs


@dataclass(frozen=True)
class PairTask:
    pairs: Pairs
    loss: ContrastiveLoss
    dimension: int
    settings: SgdSettings
    hessian: Literal["diag", "full"]
    prior_precision: float
    dtype: torch.dtype
    start: Literal["optimum", "initial"]
    progress: Progress
    _started: dict[int, list[torch.Tensor]] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.pairs.groups.device

    def heads(self, seed: int) -> list[torch.Tensor]:
        """What every run of a seed starts from."""
        if seed not in self._started:
            image, text = self.pairs.images.shape[1] - 1, self.pairs.texts.shape[1] - 1
            heads = initial_heads(image, text, self.dimension, seed)
            if self.start == "optimum":
                heads = fit_pairs(self.pairs, self.loss, self.settings.weight_decay, heads, self.progress)
            self._started[seed] = heads
        return self._started[seed]

    def batch(self, seed: int, left_out: NDArray[np.int64]) -> PairBatch:
        return PairBatch(
            self.pairs,
            self.loss,
            self.heads(seed),
            torch.as_tensor(left_out, device=self.device),
            self.settings,
            hessian=self.hessian,
            prior_precision=self.prior_precision,
            dtype=self.dtype,
        )

    def fingerprint(self, score_epochs: Sequence[int]) -> str:
        digest = hashlib.sha256()
        for values in (self.pairs.images, self.pairs.texts, self.pairs.groups):
            digest.update(values.cpu().contiguous().numpy().tobytes())
        facts = [
            "pairs with gradients",
            self.start,
            asdict(self.settings),
            asdict(self.loss),
            self.dimension,
            self.hessian,
            self.prior_precision,
        ]
        digest.update(json.dumps([*facts, str(self.dtype), list(score_epochs)]).encode())
        return digest.hexdigest()[:16]
