"""Starting the dashboard and driving its pages, for tests that open the browser."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from lsi_engine.cli.compute.commands import plan
from lsi_engine.runs.pipeline import compute as carry_out
from lsi_engine.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
# A busy machine answers late; what never comes still fails.
expect.set_options(timeout=60_000)
#: Streamlit says on its outermost element whether the page's script is still running.
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@dataclass(frozen=True)
class Served:
    """A running dashboard: its ``address`` and the ``cache`` folder that it shows and writes to."""

    address: str
    cache: Path


def environment(cache: Path) -> dict[str, str]:
    """Variables for a process of the product that uses ``cache`` and this checkout, wherever it is started."""
    return os.environ | {"LSI_CACHE": str(cache), "PYTHONPATH": str(ROOT)}


def compute(cache: Path, *arguments: str) -> None:
    """Carry out what ``lsi compute`` with these arguments would, in this process, which has torch already."""
    for config in plan(arguments):
        carry_out(config, RunStore(cache))


def wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


def settled(page: Page) -> None:
    """Wait until the page's script has run to its end."""
    page.wait_for_selector(IDLE, state="attached")


def visit(page: Page, address: str) -> None:
    """Open ``address`` and wait until the page is there and still."""
    page.goto(address)
    page.wait_for_selector('[data-testid="stMainBlockContainer"]')
    settled(page)


def shown(locator: Locator, *, timeout: float | None = None) -> Locator:
    """Wait until there is one such element and it is visible.

    While Streamlit redraws, what moved on the page stands there twice, old and new. ``expect(…).to_be_visible()`` fails
    at once on two elements; counting them waits.
    """
    expect(locator).to_have_count(1, timeout=timeout)
    expect(locator.first).to_be_visible(timeout=timeout)
    return locator


def press(locator: Locator) -> None:
    """Click one control of a page that may be about to be redrawn, once it stands still."""
    settled(locator.page)
    shown(locator).click()
