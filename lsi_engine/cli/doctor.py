"""What is installed here, and what would stand in the way."""

from __future__ import annotations

import os
import platform
import shutil
from typing import Any

import psutil

from lsi_engine.runs.results import versions
from lsi_engine.runs.store import RunStore


def examine() -> dict[str, Any]:
    """``{"facts": {name: text}, "problems": [text, …]}``; problems say what to do."""
    import torch

    store = RunStore()
    problems: list[str] = []
    facts = dict(versions())
    facts["system"] = platform.platform()
    facts["cores"] = str(os.cpu_count())
    facts["memory"] = f"{psutil.virtual_memory().total / 2**30:.1f} GiB"
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none (not needed: the CPU is enough)"
    facts["cache"] = str(store.cache)
    facts["runs"] = str(len(store.names()))
    writable = store.cache if store.cache.exists() else store.cache.parent
    if os.access(writable, os.W_OK):
        free = shutil.disk_usage(writable).free
        facts["disk free"] = f"{free / 2**30:.1f} GiB"
        if free < 2**30:
            problems.append(f"less than 1 GiB is free for {store.cache}: features need about 2 kB a sample")
    else:
        problems.append(f"{store.cache} cannot be written: set LSI_CACHE to a folder of yours")
    try:
        from lsi_engine.features.torchvision_guard import install

        install()
        import torchvision

        facts["torchvision"] = torchvision.__version__
    except Exception as error:  # whatever is wrong with the installation is what we report
        problems.append(f"torchvision cannot be imported ({error}): install the versions in requirements.txt")
    return {"facts": facts, "problems": problems}
