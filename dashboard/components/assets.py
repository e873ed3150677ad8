"""Style sheets and scripts of the components, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def text_of(*names: str) -> str:
    """The named files of this folder, one after the other."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)
