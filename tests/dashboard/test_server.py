"""The server as a process: where it listens, whom it answers, what it refuses, and that it runs from anywhere."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlparse

import psutil
import pytest
from driving import Served

from dashboard.server import main, options
from lsi_engine.errors import InputError


def port_of(served: Served) -> int:
    port = urlparse(served.address).port
    assert port is not None
    return port


def upgrade(served: Served, host: str, origin: str) -> int:
    """HTTP status of an attempt to open the page's WebSocket under this ``Host`` and ``Origin``."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(served), timeout=20)
    try:
        connection.request(
            "GET",
            "/_stcore/stream",
            headers={
                "Host": host,
                "Origin": origin,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            },
        )
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_listens_on_the_loopback_address_only(served: Served) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port_of(served)
    }
    assert listening == {"127.0.0.1"}


def test_a_page_from_elsewhere_cannot_open_the_session(served: Served) -> None:
    own = f"127.0.0.1:{port_of(served)}"
    assert upgrade(served, own, f"http://{own}") == 101
    assert upgrade(served, "evil.example", "http://evil.example") in (400, 403)
    assert upgrade(served, own, "http://evil.example") in (400, 403)


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}.*choose another --port"):
            main(port=port, headless=True)


def test_settings_send_nothing_out_and_show_nothing_internal() -> None:
    from streamlit import config

    chosen = options(8501, "127.0.0.1", True)
    assert set(chosen) <= set(config._config_options_template), "Streamlit no longer knows some of these settings"
    assert chosen["browser.gatherUsageStats"] is False
    assert chosen["client.showErrorDetails"] == "none"
    assert chosen["server.address"] == "127.0.0.1"
    assert "http" not in str(chosen["theme.font"])
