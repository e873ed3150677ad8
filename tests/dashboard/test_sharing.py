"""The shared server as a process: without the password nothing of it is reachable, by HTTP or websocket."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlparse

import pytest
from driving import Served, environment, visit, wait_until_up
from playwright.sync_api import Browser, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dashboard.components.media import image_url
from dashboard.server import main
from dashboard.sharing.password import FEWEST_CHARACTERS, SharedPassword, Throttle, read_password
from dashboard.sharing.sessions import HOURS, Sessions, cleaned_name
from lsi_engine.cli import main as lsi
from lsi_engine.curation import Decisions
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore

PASSWORD = "correct horse battery"
#: One of each kind of thing the server has, Streamlit's own routes included.
ROUTES = [
    "/", "/start", "/review", "/runs", "/no-such-page", "/favicon.png", "/index.html", "/static/js/index.js",
    "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/_stcore/script-health-check",
    "/_stcore/bidi-components/lsi_gallery/x.js", "/component/x/index.html", "/media/abc.csv", "/auth/login",
    "/auth/logout", "/oauth2callback", "/points/digits/pca", "/points/digits/ids", "/case/digits/abc", "{image}",
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(digits_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(digits_cache, folder / "cache")
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    flags = ["--share", "--host", "127.0.0.1", "--password-file", str(secret), "--hostname", "lsi.example"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lsi_engine", "dashboard", "--port", str(port), "--headless", *flags],
            env=environment(folder / "cache"),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(f"{address}/sign-in?next=", process, log)
        yield Served(address, folder / "cache")
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask(served: Served, path: str, method: str = "GET", body: str = "", **headers: str) -> http.client.HTTPResponse:
    """One request; underscores in the names of ``headers`` are dashes."""
    port = urlparse(served.address).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(
            method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        if answer.status != 101:
            answer.read()
        return answer
    finally:
        connection.close()


def upgrade(served: Served, **headers: str) -> int:
    wanted = {
        "Origin": served.address,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return ask(served, "/_stcore/stream", **(wanted | headers)).status


def send_form(served: Served, password: str, name: str = "Ann", path: str = "/sign-in") -> http.client.HTTPResponse:
    body = urlencode({"name": name, "password": password})
    return ask(served, path, "POST", body, Content_Type="application/x-www-form-urlencoded", Origin=served.address)


def picture(served: Served) -> str:
    run = RunStore(served.cache).open("digits")
    return image_url(run, str(run.samples()["sample_id"].iloc[0]), "96")


def signed_in(served: Served) -> str:
    cookie = send_form(served, PASSWORD).headers["set-cookie"]
    return str(cookie).partition(";")[0]


def test_without_a_session_every_route_is_shut(shared: Served) -> None:
    for route in ROUTES:
        path = route.format(image=picture(shared))
        assert ask(shared, path).status == 401, path
        page = ask(shared, path, Accept="text/html")
        assert page.status == 303, path
        assert page.headers["location"].startswith("/sign-in?next="), path
        for method in ("POST", "PUT", "DELETE"):
            assert ask(shared, path, method, "x", Accept="text/html").status == 401, (method, path)
    assert upgrade(shared) == 403
    upload = ask(shared, "/_stcore/upload_file/some/file", "PUT", "x" * 1000, Origin=shared.address)
    assert upload.status == 401


def test_forged_and_foreign_cookies_open_nothing(shared: Served) -> None:
    genuine = signed_in(shared)
    name, _, value = genuine.partition("=")
    elsewhere = Sessions().start("Ann")
    altered = ("B" if value[5] == "A" else "A").join((value[:5], value[6:]))
    for cookie in (altered, value[:-8] + "AAAAAAAA", value.partition(".")[0], "", elsewhere, "a.b.c", "Ã©"):
        sent = f"{name}={cookie}"
        assert ask(shared, "/_stcore/health", Cookie=sent).status == 401, cookie
        assert upgrade(shared, Cookie=sent) == 403, cookie
    assert ask(shared, "/_stcore/health", Cookie=genuine).status == 200
    assert upgrade(shared, Cookie=genuine) == 101


def test_the_cookie_opens_everything_until_its_person_signs_out(shared: Served) -> None:
    answer = send_form(shared, PASSWORD, path="/sign-in?next=%2Fgallery%3Frun%3Ddigits")
    assert (answer.status, answer.headers["location"]) == (303, "/gallery?run=digits")
    written = answer.headers["set-cookie"]
    assert "HttpOnly" in written
    assert "SameSite=lax" in written
    assert f"Max-Age={HOURS * 3600}" in written
    cookie = written.partition(";")[0]
    served_picture = ask(shared, picture(shared), Cookie=cookie)
    assert served_picture.status == 200
    assert served_picture.headers["cache-control"] == "no-store"
    assert served_picture.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in ask(shared, "/", Cookie=cookie).headers["content-security-policy"]
    assert ask(shared, "/sign-out", Cookie=cookie, Sec_Fetch_Site="cross-site").status == 403
    assert ask(shared, "/sign-out", Cookie=cookie).status == 303
    assert ask(shared, picture(shared), Cookie=cookie).status == 401
    assert upgrade(shared, Cookie=cookie) == 403


def test_an_open_page_is_cut_off_when_its_person_signs_out(shared: Served) -> None:
    cookie = signed_in(shared)
    address = shared.address.replace("http", "ws") + "/_stcore/stream"
    with connect(address, additional_headers={"Cookie": cookie, "Origin": shared.address}) as open_page:
        assert ask(shared, "/sign-out", Cookie=cookie).status == 303
        with pytest.raises(ConnectionClosed):
            open_page.recv(timeout=20)
        assert open_page.close_code == 1008


def test_other_sites_and_other_names_of_this_machine_are_refused(shared: Served) -> None:
    cookie = signed_in(shared)
    port = urlparse(shared.address).port
    assert upgrade(shared, Cookie=cookie, Origin="http://evil.example") == 403
    assert upgrade(shared, Cookie=cookie, Origin="http://localhost:1") == 403
    assert ask(shared, "/", Cookie=cookie, Host=f"evil.example:{port}").status == 403
    assert ask(shared, "/sign-in", Host="lsi.example").status == 200
    body = urlencode({"name": "Ann", "password": PASSWORD})
    assert ask(shared, "/sign-in", "POST", body, Origin="http://evil.example").status == 403


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "http://evil.example", "/x\r\nSet-Cookie: a=b"]
)
def test_signing_in_leads_nowhere_else(shared: Served, target: str) -> None:
    answer = send_form(shared, PASSWORD, path="/sign-in?" + urlencode({"next": target}))
    assert answer.headers["location"] == "/"


@pytest.mark.browser
def test_a_person_signs_in_decides_under_that_name_and_leaves(shared: Served, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    try:
        page.goto(f"{shared.address}/review?run=digits-flipped")
        page.get_by_label("Your name").fill("Dr. <b>Özgür</b>")
        page.get_by_label("Shared password").fill("not the password")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("This is not the password.")
        page.get_by_label("Shared password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(re.compile("/review"))
        visit(page, f"{shared.address}/review?run=digits-flipped")
        desk = page.locator(".review")
        expect(desk).to_have_attribute("data-sample", re.compile("."))
        first = desk.get_attribute("data-sample")
        assert first
        expect(page.get_by_label("Reviewer")).to_have_count(0)
        desk.get_by_role("button", name="Keep").click(delay=400)
        expect(desk).not_to_have_attribute("data-sample", first)
        expect(desk).to_have_attribute("data-unsaved", "0")
        log = Decisions(shared.cache / "runs" / "digits-flipped" / "decisions.sqlite")
        assert log.history(first)[-1]["reviewer"] == "Dr. <b>Özgür</b>"
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_label("Shared password")).to_be_visible()
    finally:
        context.close()


def test_guessing_is_slowed_and_then_waits_out(shared: Served) -> None:
    """Last with the server: this address has to wait after it."""
    answers = [send_form(shared, f"wrong password {i}").status for i in range(8)]
    assert answers[:2] == [401, 401]
    assert answers[-1] == 429
    late = send_form(shared, PASSWORD)
    assert late.status == 429
    assert int(late.headers["retry-after"]) >= 1
    assert "set-cookie" not in late.headers


def test_each_wrong_guess_doubles_the_wait_and_time_forgives() -> None:
    now = [0.0]
    throttle = Throttle(clock=lambda: now[0])
    for _ in range(Throttle.FREE):
        assert throttle.admit("a") == 0
    waits = []
    for _ in range(12):
        waits.append(throttle.admit("a"))
        now[0] += waits[-1]
        assert throttle.admit("a") == 0
    assert waits == [min(2.0**n, Throttle.LONGEST) for n in range(12)]
    assert throttle.admit("b") == 0
    now[0] += Throttle.FORGOTTEN + 1
    assert [throttle.admit("a") for _ in range(Throttle.FREE)] == [0] * Throttle.FREE
    throttle.right("a")
    assert throttle.admit("a") == 0


def test_many_addresses_share_one_limit() -> None:
    throttle = Throttle(clock=lambda: 0.0)
    admitted = sum(throttle.admit(f"address {i}") == 0 for i in range(500))
    assert admitted == Throttle.FREE_TOGETHER


def test_a_session_ends_by_itself() -> None:
    now = [1e9]
    sessions = Sessions(clock=lambda: now[0])
    cookie = sessions.start("Ann")
    session = sessions.of(cookie)
    assert session is not None
    assert session.name == "Ann"
    now[0] += HOURS * 3600 + 1
    assert sessions.of(cookie) is None


def test_names_hold_nothing_invisible() -> None:
    assert cleaned_name(" Ann\u202e \u200b\x00 Lee\n ") == "Ann Lee"
    assert cleaned_name("\u200b\u202e") == ""
    assert len(cleaned_name("x" * 10_000)) == 60


def test_where_a_password_may_come_from(tmp_path: Path) -> None:
    environment = {"LSI_PASSWORD": PASSWORD}
    assert read_password(None, environment).matches(PASSWORD)
    assert environment == {}
    with pytest.raises(InputError, match="--password-file FILE"):
        read_password(None, environment)
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    for mode in (0o640, 0o604, 0o644):
        file.chmod(mode)
        with pytest.raises(InputError, match="chmod 600"):
            read_password(file, {})
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    held = read_password(file, {})
    assert held.matches(PASSWORD)
    assert not held.matches(PASSWORD + " ")
    assert PASSWORD.encode() not in held.salt + held.key
    with pytest.raises(InputError, match="characters"):
        SharedPassword.of("x" * (FEWEST_CHARACTERS - 1))
    with pytest.raises(InputError, match="cannot be read"):
        read_password(tmp_path / "absent", {})


def test_another_address_without_sharing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="--share"):
        main(port=0, host="0.0.0.0", headless=True)
    monkeypatch.delenv("LSI_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "argv", ["lsi", "dashboard", "--share", "--headless"])
    with pytest.raises(SystemExit, match="1"):
        lsi()
    assert "--password-file" in capsys.readouterr().err
