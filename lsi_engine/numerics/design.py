"""The design matrix X̃ = [(X − mean) / scale, 1], read in blocks of rows; without the last column where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.numerics.device import device_named
from lsi_engine.numerics.parallel import in_parallel

#: Rows a block: large enough for full-speed matrix products, small enough that a block's temporaries stay below
#: a few hundred MB.
BLOCK_ROWS = 2048
#: Rows of a pass that multiplies by a few vectors only: a block and its scaled copy stay in the processor's cache.
PASS_ROWS = 1024
#: A scaled copy of the features is kept in memory up to this size; beyond it, blocks are read and scaled afresh.
RESIDENT_BYTES = 1 << 29


def needs_double(dtype: np.dtype | torch.dtype) -> bool:
    """Whether single precision loses digits: of float64, and of integers of 32 bits, which it holds up to 2²⁴ only."""
    floating = dtype.is_floating_point if isinstance(dtype, torch.dtype) else dtype.kind == "f"
    return dtype.itemsize >= (8 if floating else 4)


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
            block = block.detach().to(torch.float64).cpu().numpy()  # NumPy has no bfloat16
        return function(np.asarray(block, dtype=np.float64))

    parts = in_parallel(part, range(0, len(features), PASS_ROWS), torch.device("cpu"))
    return sum(parts, np.zeros(int(features.shape[1])))


class Design:
    """X̃ of shape ``(N, D')``: the scaled features, and the bias column of ones last.

    Parameters
    ----------
    features
        ``(N, D)`` numbers of any width: NumPy array (memory-mapped ones are read block by block) or tensor.
    scaling
        Applied to every block; the stored features are never changed.
    device
        Where blocks live.
    bias
        Whether there is a column of ones: D' = D + 1, else D.
    """

    def __init__(
        self,
        features: NDArray | torch.Tensor,
        scaling: FeatureScaling,
        device: torch.device | str = "cpu",
        *,
        bias: bool = True,
    ) -> None:
        self.features = features
        self.scaling = scaling
        self.device = device_named(device)
        self.rows, self.dimension = int(features.shape[0]), int(features.shape[1])
        self.bias, self.columns = bias, self.dimension + bias
        self._mean = torch.as_tensor(scaling.mean, device=self.device)
        self._scale = torch.as_tensor(scaling.scale, device=self.device)
        self._resident: torch.Tensor | None = None
        #: Features that arrived in double precision keep it: a float32 copy would cap the fit's accuracy.
        self.double = needs_double(features.dtype)
        resident_type = torch.float64 if self.double else torch.float32
        if self.rows * self.columns * resident_type.itemsize <= RESIDENT_BYTES:
            resident = torch.empty(self.rows, self.columns, dtype=resident_type, device=self.device)

            def scale(rows: slice) -> None:
                resident[rows] = self._scaled(self.features[rows]).to(resident_type)

            for _ in in_parallel(scale, self.row_blocks(PASS_ROWS), self.device):
                pass
            self._resident = resident

    def row_blocks(self, size: int = BLOCK_ROWS) -> Iterator[slice]:
        for start in range(0, self.rows, size):
            yield slice(start, min(start + size, self.rows))

    def selected(self, index: NDArray[np.int64] | None, size: int) -> Iterator[tuple[slice, slice | torch.Tensor]]:
        """Blocks of the rows at ``index``, of all when ``None``: their places in the selection, and the rows."""
        if index is None or np.array_equal(index, np.arange(self.rows)):
            yield from ((rows, rows) for rows in self.row_blocks(size))
            return
        rows = torch.as_tensor(index, device=self.device)
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            yield part, rows[part]

    def subset(self, index: NDArray[np.int64]) -> Design:
        """The rows at ``index`` as a design of their own, scaled as this one."""
        return Design(self.features[index], self.scaling, self.device, bias=self.bias)

    def block(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Rows of X̃ as ``dtype``: a slice, or indices in any order."""
        if self._resident is not None:
            return self._resident[rows].to(dtype)
        chosen = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
        return self._scaled(self.features[chosen]).to(dtype)

    def rows_at(self, index: NDArray[np.int64], dtype: torch.dtype) -> torch.Tensor:
        """The rows of X̃ at ``index``, in that order."""
        return self.block(torch.as_tensor(index, device=self.device), dtype)

    def rms_row_norm(self) -> float:
        """Root mean square of ‖x̃‖ over the rows."""
        squares = sum(float(self.block(rows, torch.float64).square().sum()) for rows in self.row_blocks(PASS_ROWS))
        return (squares / self.rows) ** 0.5

    def _scaled(self, raw: NDArray | torch.Tensor) -> torch.Tensor:
        if not isinstance(raw, torch.Tensor):
            # A memory-mapped block is read-only; torch wants to own what it may write to.
            raw = torch.from_numpy(np.array(raw, copy=True))
        scaled = torch.empty(len(raw), self.columns, dtype=torch.float64, device=self.device)
        torch.sub(raw.to(self.device, torch.float64), self._mean, out=scaled[:, : self.dimension]).div_(self._scale)
        scaled[:, self.dimension :] = 1
        return scaled
