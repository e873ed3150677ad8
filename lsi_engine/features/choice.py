"""Feature extractors as a run's configuration describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def image_extractor(backbone: str, weights: str = "default", image_size: int | None = None) -> dict[str, Any]:
    """A torchvision ``backbone`` with its own (``"default"``) or a local file's ``weights``; or ``"pixels"``."""
    size = {} if image_size is None else {"image_size": image_size}
    if backbone == "pixels":
        return {"kind": "pixels", **size}
    local = weights if weights == "default" else str(Path(weights).expanduser().resolve())
    return {"kind": "torchvision", "backbone": backbone, "weights": local, **size}


def text_extractor(encoder: str, pooling: str = "mean", max_tokens: int | None = None) -> dict[str, Any]:
    """``"tfidf"``, or a transformers ``encoder``: its name, or a local folder."""
    if encoder == "tfidf":
        return {"kind": "tfidf"}
    local = Path(encoder).expanduser()
    model = str(local.resolve()) if local.is_dir() else encoder
    tokens = {} if max_tokens is None else {"max_tokens": max_tokens}
    return {"kind": "transformer", "model": model, "pooling": pooling, **tokens}


def pair_extractor(image: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "pair", "image": image, "text": text}
