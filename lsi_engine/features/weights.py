"""State dicts from disk or from torchvision's server, never by running code from a file."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lsi_engine.errors import InputError

#: Names under which training scripts nest the state dict in a checkpoint.
NESTED = ("state_dict", "model_state_dict", "model")


def load_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a ``.safetensors`` file or a PyTorch checkpoint (``.pt``, ``.pth``, ``.bin``).

    Checkpoints are read with ``weights_only=True``; a nested state dict is found, and the prefix "module." that
    data-parallel training adds is removed. Raises ``InputError`` naming the file.
    """
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is damaged or no safetensors file: {error}") from error
    if path.suffix not in (".pt", ".pth", ".bin"):
        raise InputError(f"{path}: weights are read from .safetensors, .pt, .pth or .bin files")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} holds more than tensors and is refused; save only its state dict") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged or no PyTorch checkpoint: {error}") from error
    return _state_dict(content, path)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for name in NESTED:
            if isinstance(content.get(name), Mapping):
                content = content[name]
                break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path} holds no state dict: tensors by name are needed")
    prefix = "module." if all(key.startswith("module.") for key in content) else ""
    # torchvision's own DenseNet files still say "denselayer1.norm.1" for what the model calls "denselayer1.norm1".
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)", r"\1\2", key.removeprefix(prefix)): value
        for key, value in content.items()
    }


def published_state(name: str, weights: Any) -> dict[str, Tensor]:
    """The state dict that torchvision publishes as ``weights`` of the model ``name``, from its cache or its server.

    Raises ``InputError`` that says what was wanted, where it was looked for, and what to do offline.
    """
    from torchvision.models import get_model

    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return get_model(name, weights=weights, progress=False).state_dict()
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        state = "is damaged: remove it" if cached.is_file() else "is not there"
        raise InputError(
            f"the published weights of {name} cannot be had. Wanted: {weights.url}. "
            f"Looked for: {cached}, which {state}. The attempt ended with: {error}. "
            "Copy the file there from a machine with internet access, or give the path of local weights."
        ) from error


def digest(state: Mapping[str, Tensor]) -> str:
    """Identity of the weights' names, types and values, whatever file they came from."""
    total = hashlib.blake2b(digest_size=16)
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        total.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
