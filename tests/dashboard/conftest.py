"""A real browser on a real server with real runs, for the tests marked ``browser``."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Served, compute, environment, wait_until_up
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

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
        wait_until_up(address, process, log)
        yield Served(address, cache)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


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
    """A tab; at the end of the test nothing may have left this machine, and neither script nor page may have broken."""
    outside: list[str] = []
    broken: list[str] = []
    tab = context.new_page()
    tab.on("request", lambda request: outside.append(request.url) if _leaves(request.url) else None)
    tab.on("websocket", lambda socket: outside.append(socket.url) if _leaves(socket.url) else None)
    tab.on("pageerror", lambda error: broken.append(str(error)))
    yield tab
    failed = tab.locator('[data-testid="stException"]').count()
    tab.close()
    assert not failed, "the page ended in a traceback"
    assert not outside, f"requests left this machine: {outside}"
    assert not broken, f"scripts broke in the browser: {broken}"


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
