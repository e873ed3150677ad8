"""A stored run of 16-bit films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


def films(root: Path, store: RunStore) -> Run:
    """Twelve 16-bit films in two classes, and one of them in 8 bits."""
    random = np.random.default_rng(0)
    for label, level in (("dark", 900), ("light", 2400)):
        (root / label).mkdir(parents=True)
        for i in range(6):
            grey = random.integers(level - 400, level + 400, (90, 120), dtype=np.uint16)
            image = Image.fromarray((grey >> 4).astype(np.uint8) if (label, i) == ("dark", 0) else grey)
            image.save(root / label / f"{i}.png")
    source = {"kind": "image_folder", "root": str(root)}
    return compute(RunConfig(name="films", source=source, extractor={"kind": "pixels", "image_size": 8}), store)[0]
