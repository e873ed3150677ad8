"""The first page after the server starts: ``python -m benchmarks.first_page RUN`` (playwright and Chromium needed).

For each page a server is started anew and, ``--wait`` seconds after it listens, opened in a browser that has nothing
cached; then the same address again in a new tab of that browser. Wall: until nothing runs, figures and pictures are
there. Server: its processor time in that while, without the browser's; what it warms up beforehand is shown apart.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
from playwright.sync_api import BrowserContext, sync_playwright

#: Page by address, and what is on screen when it is drawn.
PAGES = {
    "": ".js-plotly-plot .main-svg >> nth=8",
    "classes": ".js-plotly-plot .main-svg >> nth=0",
    "gallery": ".lsi-tile img >> nth=0",
    "review": "text=Nearest typical >> nth=0",
    "sample": "canvas, img >> nth=0",
    "map": "canvas >> nth=0",
    "export": "text=Keep >> nth=0",
}
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
PICTURES = """() => {
  const roots = [document], images = [];
  while (roots.length) {
    const root = roots.pop();
    images.push(...root.querySelectorAll("img"));
    root.querySelectorAll("*").forEach((one) => one.shadowRoot && roots.push(one.shadowRoot));
  }
  return images.every((image) => image.complete || image.loading === "lazy");
}"""


def visit(context: BrowserContext, server: psutil.Process, address: str, marker: str) -> tuple[float, float]:
    """Wall and server seconds until the page is drawn in a new tab."""
    page = context.new_page()
    before, started = _cpu(server), time.perf_counter()
    page.goto(address)
    page.wait_for_selector(marker, timeout=30_000, state="attached")
    page.wait_for_selector(IDLE, timeout=120_000)
    page.wait_for_function(PICTURES, timeout=120_000)
    wall = time.perf_counter() - started
    time.sleep(0.3)  # what the server still finishes belongs to the visit
    spent = _cpu(server) - before
    page.close()
    return wall, spent


def _cpu(server: psutil.Process) -> float:
    times = server.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds between listening and the first visit")
    parser.add_argument("--pages", nargs="*", default=["", "classes", "review"], choices=list(PAGES))
    arguments = parser.parse_args()
    print(f"{'page':<10}{'warm-up':>9}{'wall':>8}{'server':>8}{'again':>8}{'server':>8}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        for name in arguments.pages:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            command = [sys.executable, "-m", "lsi_engine", "dashboard", "--port", str(port), "--headless"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                _listening(port)
                server = psutil.Process(process.pid)
                started = _cpu(server)
                time.sleep(arguments.wait)
                warm = _cpu(server) - started
                address = f"http://127.0.0.1:{port}/{name}?run={arguments.run}"
                context = browser.new_context(viewport={"width": 1440, "height": 900})
                first = visit(context, server, address, PAGES[name])
                again = visit(context, server, address, PAGES[name])
                context.close()
                figures = (warm, *first, *again)
                print(f"/{name:<9}{figures[0]:9.2f}" + "".join(f"{one:8.2f}" for one in figures[1:]), flush=True)
            finally:
                process.terminate()
                process.wait()


def _listening(port: int) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the dashboard did not start")


if __name__ == "__main__":
    main()
