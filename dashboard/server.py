"""The dashboard as one ASGI application, and how it is started: ``lsi dashboard`` calls :func:`main`."""

from __future__ import annotations

import socket
import threading
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import streamlit as st
from starlette.middleware import Middleware
from streamlit import runtime
from streamlit.runtime.pages_manager import PagesManager

from dashboard import theme
from dashboard.components.map.points import point_routes
from dashboard.components.media import media_routes
from dashboard.desks.reading.desk import case_routes
from dashboard.sharing.guard import Guard, SignIn
from dashboard.sharing.password import read_password
from lsi_engine.curation.manifest import LARGEST
from lsi_engine.errors import InputError, LsiError

SCRIPT = Path(__file__).with_name("app.py")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: The only files that pages take are manifests (MB).
UPLOAD_MB = LARGEST // 2**20


@dataclass(frozen=True)
class Sharing:
    """How other machines may reach the dashboard; always behind a sign-in.

    ``names`` are host names besides this machine's own under which it is reached; ``certificate`` and ``key`` are PEM
    files for TLS.
    """

    password_file: Path | None = None
    names: Sequence[str] = ()
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InputError("TLS needs both --certificate and --key")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise InputError(f"there is no file {path}")


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


def application(sign_in: SignIn | None = None) -> st.App:
    """The whole server; with ``sign_in`` nothing of it is reachable without."""
    return st.App(
        SCRIPT,
        routes=[*media_routes(), *point_routes(), *case_routes()],
        middleware=[Middleware(Guard, sign_in=sign_in)],
        on_script_error=explain,
    )


def options(port: int, host: str, headless: bool, sharing: Sharing | None = None) -> dict[str, object]:
    """Streamlit's settings: nothing leaves the machine, nothing internal is shown, nothing is watched."""
    chosen: dict[str, object] = {
        "server.address": host,
        "server.port": port,
        "server.headless": headless,
        "server.fileWatcherType": "none",
        "server.allowedHosts": [*LOOPBACK, *(known_as(host, sharing.names) if sharing else ())],
        "server.maxUploadSize": UPLOAD_MB,
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": True,
        **theme.streamlit_options(),
    }
    if sharing is not None and sharing.certificate is not None:
        chosen |= {"server.sslCertFile": str(sharing.certificate), "server.sslKeyFile": str(sharing.key)}
    return chosen


def known_as(host: str, names: Sequence[str]) -> list[str]:
    """Host names and addresses under which this machine is reached when it listens on ``host``."""
    if host not in ("0.0.0.0", "::"):
        return [host, *names]
    addresses = {
        one.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for one in interface
        if one.family in (socket.AF_INET, socket.AF_INET6)
    }
    return [*sorted(addresses), socket.gethostname(), socket.getfqdn(), *names]


def main(port: int = 8501, host: str | None = None, headless: bool = False, sharing: Sharing | None = None) -> None:
    """Serve the dashboard until interrupted; opens a browser unless ``headless``.

    ``host`` is where it listens: 127.0.0.1 when not given, and every interface with ``sharing``. Raises ``InputError``
    when the port is taken, when ``host`` is another machine's door and nobody asked for sharing, and when sharing has
    no password.
    """
    host = host or ("0.0.0.0" if sharing else "127.0.0.1")
    if sharing is None and host not in LOOPBACK:
        raise InputError(
            f"listening on {host} would let other machines in: add --share, which asks them for a password, or leave "
            "--host away"
        )
    secure = sharing is not None and sharing.certificate is not None
    sign_in = SignIn(read_password(sharing.password_file), secure=secure) if sharing else None
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --port") from error
    reached = socket.gethostname() if host in ("0.0.0.0", "::") else host
    address = f"http{'s' * secure}://{f'[{reached}]' if ':' in reached else reached}:{port}"
    print(f"Dashboard: {address}  (stop with Ctrl+C)", flush=True)
    if sharing and not secure and host not in LOOPBACK:
        print("Not encrypted: the password and the pictures cross the network as they are (--certificate, --key).")
    if not headless:
        threading.Thread(target=_open_when_up, args=(host, port, address), daemon=True).start()
    threading.Thread(target=_warm_when_up, args=(host, port), daemon=True).start()
    application(sign_in).run(config=options(port, host, headless, sharing))


def _up(host: str, port: int) -> bool:
    """Wait until the server takes connections, at most about ten seconds; whether it does."""
    for _ in range(100):
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _open_when_up(host: str, port: int, address: str) -> None:
    if _up(host, port):
        webbrowser.open(address)


def _warm_when_up(host: str, port: int) -> None:
    """Figures and statistics take seconds to import: done while the browser opens, not in the first answer."""
    if _up(host, port):
        while not runtime.exists():  # it is made a moment after the socket
            time.sleep(0.05)
        from dashboard.warming import warm

        warm()
