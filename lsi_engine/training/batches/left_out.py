"""What every batch of leave-one-out trainings gives, and how much of one is computed at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch

#: Elements of a block's largest temporary, (models, C, N): in the processor's cache on a CPU.
CPU_ELEMENTS, GPU_ELEMENTS = 1 << 20, 1 << 27


class LeftOutScores(NamedTuple):
    """Of each left-out sample: both parts of LSI ``(M,)`` in nats and its own class probabilities ``(M, C)``.

    ``gradient_norms (M,)``: ‖∇‖ of the mean loss with weight decay where its run stands, for probes whose loss may have
    other places to stop than its optimum.
    """

    mean_shift: torch.Tensor
    covariance: torch.Tensor
    probabilities: torch.Tensor
    gradient_norms: torch.Tensor | None = None

    @classmethod
    def empty(cls, like: torch.Tensor, columns: int) -> LeftOutScores:
        """Of no sample at all, with the dtype and device of ``like``."""
        return cls(like.new_empty(0), like.new_empty(0), like.new_empty(0, columns))
