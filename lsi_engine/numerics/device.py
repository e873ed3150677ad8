"""Which device computes, by the name that a person gives it."""

from __future__ import annotations

import torch

from lsi_engine.errors import InputError


def device_named(name: str | torch.device | None) -> torch.device:
    """The device ``name``: the CPU for ``None``, a GPU where there is one for ``"auto"``.

    Raises ``InputError`` for a name that torch does not know, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name or "cpu")
    except RuntimeError as error:
        raise InputError(f"device {name!r} is none that torch knows; for example cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {str(name)!r} is not there: torch sees {torch.cuda.device_count()} GPU(s); leave the device out "
            "to use the CPU"
        )
    return device


def device_identity(device: torch.device) -> dict[str, str]:
    """What of ``device`` decides a computation's last digits: nothing for the CPU, else its kind and model."""
    if device.type == "cpu":
        return {}
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {"device": f"{device.type} {model}".strip()}
