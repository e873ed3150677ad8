"""Make the pictures in ``assets/`` from the demo's own runs: ``python docs/screenshots.py`` with `make demo` running.

Usage: screenshots.py [URL]   (default http://127.0.0.1:8501)
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ASSETS = Path(__file__).resolve().parents[1] / "assets"
#: File name, page, run.
PICTURES = (
    ("overview", "", "digits-flipped"),
    ("classes", "classes", "digits"),
    ("gallery", "gallery", "digits"),
    ("review", "review", "digits-flipped"),
    ("corruption", "corruption", "digits-flipped"),
    ("export", "export", "digits-flipped"),
    ("compare", "compare", "digits-flipped"),
    ("map", "map", "digits"),
)
#: Pages that hold figures.
FIGURES = ("overview", "classes", "corruption", "compare")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def main(url: str) -> None:
    """Open each page at 1440 × 900, wait until it is still, and write it as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=[*QUIET, "--disable-component-update", "--disable-sync"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        for name, where, run in PICTURES:
            page.goto(f"{url}/{where}?run={run}")
            page.wait_for_selector("[data-testid=stMainBlockContainer]", timeout=60_000)
            page.wait_for_function(
                "() => !document.querySelector('[data-testid=stStatusWidget]')"
                " && [...document.images].every(image => image.complete)",
                timeout=60_000,
            )
            if name in FIGURES:  # the first one also loads its library
                page.wait_for_selector(".main-svg", timeout=60_000)
            page.wait_for_timeout(2_000)  # the last figure is in the document a moment before it is painted
            page.screenshot(path=ASSETS / f"{name}.png")
            print(f"assets/{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8501")
