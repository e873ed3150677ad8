"""A real browser on a real server with real runs, for the tests marked ``browser``."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect, sync_playwright

from lsi_engine.cli.compute import plan
from lsi_engine.runs.pipeline import compute as carry_out
from lsi_engine.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
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


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with two finished runs: ``digits``, and ``digits-flipped`` with a tenth of the labels flipped.

    Made once for all workers; tests copy it.
    """
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "digits-cache"
    with Path(f"{cache}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.is_dir():
            made = cache.with_suffix(".making")
            shutil.rmtree(made, ignore_errors=True)
            compute(made, "digits", "--name", "digits")
            compute(made, "digits", "--name", "digits-flipped", "--flip-labels", "0.1", "--seed", "0")
            made.rename(cache)
    return cache


@pytest.fixture(scope="module")
def served(digits_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The dashboard on a free port, started in an unrelated folder, with the module's own copy of the runs."""
    folder = tmp_path_factory.mktemp("served")
    cache = folder / "cache"
    shutil.copytree(digits_cache, cache)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lsi_engine", "dashboard", "--port", str(port), "--headless"],
            env=environment(cache),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(address, process, log)
        yield Served(address, cache)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium or Chrome, else Playwright's own; without one the test is skipped, or fails under CI."""
    with sync_playwright() as playwright:
        executable = _executable(playwright)
        if executable is None:
            problem = "NO BROWSER: install Chromium or Chrome, or run `python -m playwright install chromium`"
            if os.environ.get("CI") == "true":
                pytest.fail(problem)
            pytest.skip(problem)
        launched = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        yield launched
        launched.close()


def _executable(playwright: Playwright) -> str | None:
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile for the module's tests, 1440 × 900; they share its cache of scripts."""
    made = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    made.set_default_timeout(60_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; at the end of the test nothing may have left this machine, and no script may have broken."""
    outside: list[str] = []
    broken: list[str] = []
    tab = context.new_page()
    tab.on("request", lambda request: outside.append(request.url) if _leaves(request.url) else None)
    tab.on("websocket", lambda socket: outside.append(socket.url) if _leaves(socket.url) else None)
    tab.on("pageerror", lambda error: broken.append(str(error)))
    yield tab
    tab.close()
    assert not outside, f"requests left this machine: {outside}"
    assert not broken, f"scripts broke in the browser: {broken}"


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


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
