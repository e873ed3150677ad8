"""What every batch of leave-one-out trainings gives, and how much of one is computed at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch

#: Elements of a block's largest temporary, (models, C, N): in the processor's cache on a CPU.
CPU_ELEMENTS, GPU_ELEMENTS = 1 << 20, 1 << 27


class LeftOutScores(NamedTuple):
    """Of each left-out sample: both parts of LSI ``(M,)`` in nats and its own class probabilities ``(M, C)``."""

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    probabilities: torch.Tensor

    @classmethod
    def empty(cls, like: torch.Tensor, columns: int) -> LeftOutScores:
        """Of no sample at all, with the dtype and device of ``like``."""
        return cls(like.new_empty(0), like.new_empty(0), like.new_empty(0, columns))
