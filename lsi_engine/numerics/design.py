"""The design matrix X̃ = [(X − mean) / scale, 1], read in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.numerics.parallel import in_parallel

#: Rows a block: large enough for full-speed matrix products, small enough that a block's temporaries stay below
#: a few hundred MB.
BLOCK_ROWS = 2048
#: Rows of a pass that multiplies by a few vectors only: a block and its scaled copy stay in the processor's cache.
PASS_ROWS = 1024
#: A scaled copy of the features is kept in memory up to this size; beyond it, blocks are read and scaled afresh.
RESIDENT_BYTES = 1 << 29


@dataclass(frozen=True)
class FeatureScaling:
    """Per-column affine map applied before the probe sees the features; recorded with every run.

    ``mean`` and ``scale`` are ``(D,)`` float64. A constant column has scale 1, so that it becomes zero
    instead of NaN.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def identity(cls, dimension: int) -> FeatureScaling:
        return cls(np.zeros(dimension), np.ones(dimension))

    @classmethod
    def standardize(cls, features: NDArray | torch.Tensor) -> FeatureScaling:
        """Mean 0 and standard deviation 1 (1/N convention) a column, in two streaming float64 passes."""
        mean = _summed(lambda block: block.sum(axis=0), features) / len(features)
        scale = np.sqrt(_summed(lambda block: np.square(block - mean).sum(axis=0), features) / len(features))
        # Rounding leaves a constant column with a tiny spread; dividing by it would blow noise up to full size.
        constant = scale <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        return cls(mean, np.where(constant, 1.0, scale))


def _summed(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]], features: NDArray | torch.Tensor
) -> NDArray[np.float64]:
    """``function`` of float64 blocks of rows, ``(D,)`` each, summed in the rows' order."""

    def part(start: int) -> NDArray[np.float64]:
        block = features[start : start + PASS_ROWS]
        if isinstance(block, torch.Tensor):
            block = block.detach().cpu().numpy()
        return function(np.asarray(block, dtype=np.float64))

    parts = in_parallel(part, range(0, len(features), PASS_ROWS), torch.device("cpu"))
    return sum(parts, np.zeros(int(features.shape[1])))


class Design:
    """X̃ of shape ``(N, D + 1)``; the last column is the bias column of ones.

    Parameters
    ----------
    features
        ``(N, D)`` floats of any width: NumPy array (memory-mapped ones are read block by block) or tensor.
    scaling
        Applied to every block; the stored features are never changed.
    device
        Where blocks live.
    """

    def __init__(
        self, features: NDArray | torch.Tensor, scaling: FeatureScaling, device: torch.device | str = "cpu"
    ) -> None:
        self.features = features
        self.scaling = scaling
        self.device = torch.device(device)
        self.rows, self.dimension = int(features.shape[0]), int(features.shape[1])
        self.columns = self.dimension + 1
        self._mean = torch.as_tensor(scaling.mean, device=self.device)
        self._scale = torch.as_tensor(scaling.scale, device=self.device)
        self._resident: torch.Tensor | None = None
        # Features that arrived in double precision keep it: a float32 copy would cap the fit's accuracy.
        double = features.dtype in (np.float64, torch.float64)
        resident_type = torch.float64 if double else torch.float32
        if self.rows * self.columns * (8 if double else 4) <= RESIDENT_BYTES:
            resident = torch.empty(self.rows, self.columns, dtype=resident_type, device=self.device)

            def scale(rows: slice) -> None:
                resident[rows] = self._scaled(rows).to(resident_type)

            for _ in in_parallel(scale, self.row_blocks(PASS_ROWS), self.device):
                pass
            self._resident = resident

    def row_blocks(self, size: int = BLOCK_ROWS) -> Iterator[slice]:
        for start in range(0, self.rows, size):
            yield slice(start, min(start + size, self.rows))

    def subset(self, index: NDArray[np.int64]) -> Design:
        """The rows at ``index`` as a design of their own, scaled as this one."""
        return Design(self.features[index], self.scaling, self.device)

    def block(self, rows: slice, dtype: torch.dtype) -> torch.Tensor:
        """Rows of X̃ as ``dtype``."""
        if self._resident is not None:
            return self._resident[rows].to(dtype)
        return self._scaled(rows).to(dtype)

    def rows_at(self, index: NDArray[np.int64], dtype: torch.dtype) -> torch.Tensor:
        """The rows of X̃ at ``index``, in that order."""
        if self._resident is not None:
            return self._resident[torch.as_tensor(index, device=self.device)].to(dtype)
        return self._scale_block(self.features[index]).to(dtype)

    def _scaled(self, rows: slice) -> torch.Tensor:
        return self._scale_block(self.features[rows])

    def _scale_block(self, raw: NDArray | torch.Tensor) -> torch.Tensor:
        if not isinstance(raw, torch.Tensor):
            # A memory-mapped block is read-only; torch wants to own what it may write to.
            raw = torch.from_numpy(np.array(raw, copy=True))
        scaled = torch.empty(len(raw), self.columns, dtype=torch.float64, device=self.device)
        torch.sub(raw.to(self.device, torch.float64), self._mean, out=scaled[:, :-1]).div_(self._scale)
        scaled[:, -1] = 1
        return scaled
