"""The API reference is made from docstrings, and misses no public name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import lsi_engine

ROOT = Path(__file__).resolve().parents[2]


def test_every_public_name_is_in_the_reference(tmp_path: Path) -> None:
    # A process of its own: the modules that are imported on first use stay so for the other tests.
    done = subprocess.run(
        [sys.executable, "-m", "docs.api", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip()).read_text(encoding="utf-8")
    shown = set(re.findall(r'<section id="(\w+)">', page))
    assert set(lsi_engine.__all__) <= shown
    assert not re.search(r'(?:src|href)="(?:http:)?//', page)
