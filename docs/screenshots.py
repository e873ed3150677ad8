"""Make the pictures in ``assets/`` by one command, from data that comes with the packages.

Usage: python docs/screenshots.py [PNEUMONIA]

Scores the digits, the demo's texts and the breast masses into a temporary cache, decides and reads a few samples there,
serves it on a free port, and photographs every page and the report with the system's Chromium. With the folder of the
pediatric chest x-rays, films are photographed too.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
SIZE = {"width": 1440, "height": 900}
#: Arguments of ``lsi compute``.
RUNS = (
    ("digits", "--name", "digits"),
    ("digits", "--name", "digits-flipped", "--flip-labels", "0.1", "--seed", "0"),
    ("demo-texts", "--name", "demo-texts"),
    ("breast-cancer", "--name", "breast-cancer"),
)
#: File name, address, and whether the page holds a figure of Plotly's, which also loads its library.
PICTURES = (
    ("overview", "?run=digits-flipped", True),
    ("classes", "classes?run=digits", True),
    ("map", "map?run=digits&colour=Label", False),
    ("corruption", "corruption?run=digits-flipped", True),
    ("compare", "compare?run=digits-flipped", True),
    ("gallery", "gallery?run=digits", False),
    ("gallery-texts", "gallery?run=demo-texts&layout=Grid", False),
    ("sample", "sample?run=digits-flipped", False),
    ("sample-text", "sample?run=demo-texts", False),
    ("sample-table", "sample?run=breast-cancer", False),
    ("review", "review?run=digits-flipped", False),
    ("reading", "reading?run=digits", False),
    ("export", "export?run=digits-flipped", False),
    ("runs", "runs?run=digits-flipped", False),
)
FILMS = (("films-classes", "classes?run=films", True), ("films-review", "review?run=films", False))
#: The same in the dark theme.
DARK = ("overview", "review")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def main(films: str | None) -> None:
    """Compute, decide, serve, photograph."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LSI_CACHE"] = cache
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["LOGNAME"] = "Ada"  # the reviewer, unless somebody says otherwise
        wanted = [*RUNS, *([("pneumonia", films, "--name", "films")] if films else [])]
        for arguments in wanted:
            subprocess.run([sys.executable, "-m", "lsi_engine", "compute", *arguments], check=True, cwd=cache)
        decide()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "lsi_engine", "dashboard", "--port", str(port), "--headless"], cwd=cache
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/_stcore/health", server)
            photograph(address, [*PICTURES, *(FILMS if films else ())])
        finally:
            server.terminate()
            server.wait()


def decide() -> None:
    """What the pages of people show: a study that was begun, and decisions on the sixty most doubtful digits."""
    sys.path.insert(0, str(ROOT))
    from dashboard.desks.reading.desk import readings_of
    from lsi_engine.curation import Decisions
    from lsi_engine.runs.store import RunStore

    run = RunStore().open("digits-flipped")
    log = Decisions(run.decisions_path)
    scores = run.scores()
    doubtful = scores[scores["suggested_label"].notna()].nlargest(60, "suspicion")
    for place, row in enumerate(doubtful.itertuples()):
        to = {"action": "relabel", "new_label": str(row.suggested_label)} if place % 6 else {"action": "drop"}
        log.record(str(row.sample_id), reviewer="Ada", expected_revision=0, given_label=str(row.label), **to)  # type: ignore[arg-type]
    clean = RunStore().open("digits")
    shown = clean.scores().nlargest(40, "lsi")["sample_id"].tolist()
    readings_of(clean).create("Second reading", shown, seed=0, created_by="Ada")


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers; raises ``RuntimeError`` when it has ended or takes two minutes."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
        if server.poll() is not None:
            break
    raise RuntimeError("the dashboard did not start")


def photograph(address: str, pictures: list[tuple[str, str, bool]]) -> None:
    """Every picture in light, those of ``DARK`` also in dark, and the report's first page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=[*QUIET, "--disable-component-update", "--disable-sync"],
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        for name, where, figures in pictures:
            show(page, f"{address}/{where}", figures)
            save(page, name)
        show(page, f"{address}/?run=digits-flipped", True)
        with page.expect_download(timeout=120_000) as saving:
            page.get_by_role("button", name="Report").click()
        report = Path(tempfile.gettempdir()) / f"lsi-report-{os.getpid()}.html"
        saving.value.save_as(report)
        page.goto(report.as_uri())
        save(page, "report")
        report.unlink()
        page = browser.new_page(viewport=SIZE, color_scheme="dark")  # type: ignore[arg-type]
        for name, where, figures in pictures:
            if name in DARK:
                show(page, f"{address}/{where}", figures)
                save(page, f"{name}-dark")
        browser.close()


def show(page: Page, address: str, figures: bool) -> None:
    """Open a page and wait until it is still."""
    page.goto(address, timeout=60_000)
    page.wait_for_selector("[data-testid=stMainBlockContainer]", timeout=60_000)
    if figures:
        page.wait_for_selector(".main-svg", timeout=60_000)
    if "/map?" in address:
        page.wait_for_selector('.map[data-ready]:not([data-ready=""])', timeout=60_000)
    page.wait_for_timeout(1_000)  # the script starts a moment after the frame is there
    page.wait_for_selector(IDLE, state="attached", timeout=60_000)
    page.wait_for_timeout(1_500)  # the last figure is in the document a moment before it is painted


def save(page: Page, name: str) -> None:
    """Write what is seen as PNG of 256 colours: a third of the size, and nobody sees the difference."""
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        small = shot.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(ASSETS / f"{name}.png", optimize=True)
    print(f"assets/{name}.png", (ASSETS / f"{name}.png").stat().st_size // 1024, "kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
