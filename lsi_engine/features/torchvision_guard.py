"""Let torchvision be imported beside a torch that its compiled operators do not fit.

torchvision's wheel on the package registry is linked against CUDA. Beside a CPU build of torch its operator library
cannot be loaded; torchvision shrugs that off, but then registers shape functions for ``torchvision::nms`` and
``torchvision::qnms``, which nobody has declared, and the import dies with "operator torchvision::nms does not
exist". Models, weights and transforms need neither operator: declaring the two signatures is enough.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

#: The declarations last as long as this object.
_declared: object | None = None


def install() -> None:
    """Make ``import torchvision`` work; call it before the first import of torchvision or transformers.

    Does nothing when torchvision is missing, already imported, or its operators load, and nothing the second
    time. torchvision itself is not imported. Calling non-maximum suppression still fails, as it would have.
    """
    global _declared
    if _declared is not None or "torchvision" in sys.modules:
        return
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return
    import torch

    libraries = sorted(Path(found.origin).parent.glob("_C*.so")) + sorted(Path(found.origin).parent.glob("_C*.pyd"))
    try:
        for library in libraries:
            torch.ops.load_library(library)
        if libraries:
            return
    except OSError:
        pass
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        fragment.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared = fragment
