"""A second device on a machine that has none: ``meta`` with real numbers, and a GPU's strictness about mixing.

Within :class:`OtherDevice`, tensors made on or moved to ``torch.device("meta")`` are computed with on the CPU but say
that they live elsewhere. As on a GPU, an operation on tensors of both devices raises, unless the one on the CPU is a
number (0-dimensional) or an index, and NumPy cannot read the other's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
CPU = torch.device("cpu")
aten = torch.ops.aten
#: Operations that may see both devices: copies, and indices on the CPU.
MIXING = {
    aten.copy_.default,
    aten._to_copy.default,
    aten.index.Tensor,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}


class Elsewhere(torch.Tensor):
    """A tensor that says it lives on ``DEVICE``; its numbers are in ``inner``, on the CPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=DEVICE
        )
        made.inner = inner
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Elsewhere({self.inner})"

    def tolist(self) -> Any:
        return self.inner.tolist()  # which torch leaves to a subclass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """``func`` on the CPU; its results live where its arguments do, or where it was told to make them."""
    leaves, _ = tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.ndim]
    if there and here and func not in MIXING:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found {DEVICE} and cpu")
    device = kwargs.get("device")
    place = torch.device(device) if device is not None else DEVICE if there else CPU
    if device is not None:
        kwargs = kwargs | {"device": CPU}
    # Written to in place, or given to be written to: the very tensor comes back.
    known = {id(tensor.inner): tensor for tensor in there}
    result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # gives the outer tensor its new shape, too

    def placed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in known:
            return known[id(value)]
        return Elsewhere(value) if place == DEVICE else value

    return tree_map(placed, result)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Elsewhere) else value


class _MakeHereAndMove(TorchFunctionMode):
    """``torch.tensor`` fills what it makes before any dispatch, and on ``meta`` with nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or CPU) == DEVICE:
            return func(*args, **(kwargs | {"device": None})).to(DEVICE)
        return func(*args, **kwargs)


class OtherDevice(TorchDispatchMode):
    """Makes ``DEVICE`` a device of its own for all that is computed within."""

    def __enter__(self) -> OtherDevice:
        self._making = _MakeHereAndMove()
        self._making.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._making.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})
