"""The dashboard as one ASGI application, and how it is started: ``lsi dashboard`` calls :func:`main`."""

from __future__ import annotations

import socket
import threading
import time
import webbrowser
from pathlib import Path

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from dashboard import theme
from dashboard.components.media import media_routes
from dashboard.components.points import point_routes
from dashboard.components.reading import case_routes
from lsi_engine.errors import InputError, LsiError

SCRIPT = Path(__file__).with_name("app.py")


def explain(error: Exception) -> bool:
    """Show an engine error as the plain sentence it is; anything else stays a generic message and a logged
    trace."""
    if isinstance(error, LsiError):
        st.error(str(error), icon=":material/error:")
        return True
    return False


# A link straight to a page would otherwise be answered, until the first visit of the start page, by running
# the module in `pages/` as a script of its own.
PagesManager.uses_pages_directory = False

app = st.App(SCRIPT, routes=[*media_routes(), *point_routes(), *case_routes()], on_script_error=explain)


def options(port: int, host: str, headless: bool) -> dict[str, object]:
    """Streamlit's settings: nothing leaves the machine, nothing internal is shown, nothing is watched."""
    local = host in ("127.0.0.1", "localhost", "::1")
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": headless,
        "server.fileWatcherType": "none",
        "server.allowedHosts": ["127.0.0.1", "localhost", "::1"] if local else [],
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": True,
        **theme.streamlit_options(),
    }


def main(port: int = 8501, host: str = "127.0.0.1", headless: bool = False) -> None:
    """Serve the dashboard until interrupted; opens a browser unless ``headless``.

    Raises ``InputError`` when the port is taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --port") from error
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"Dashboard: {address}  (stop with Ctrl+C)", flush=True)
    if not headless:
        threading.Thread(target=_open_when_up, args=(host, port, address), daemon=True).start()
    app.run(config=options(port, host, headless))


def _open_when_up(host: str, port: int, address: str) -> None:
    for _ in range(100):
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            webbrowser.open(address)
            return
