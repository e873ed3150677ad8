"""The guard: the outermost layer of the server, in front of pages, websocket, pictures, components and uploads.

Every request must name a host that this server is known by (a page of another site that had its name point here sends
its own), and a websocket or a changing request must come from a page of this server. With a sign-in, nothing but the
form is answered without a valid session. Every answer carries headers that keep a page from sending anything elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from dashboard.sharing import page
from dashboard.sharing.password import SharedPassword, Throttle
from dashboard.sharing.sessions import HOURS, Session, Sessions, cleaned_name

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
#: Carries the signed-in person's name, percent-encoded, to the pages; never taken from outside.
NAME_HEADER = "x-lsi-signed-in"
MOST_FORM_BYTES = 8192
#: Streamlit runs components from blobs and styles from the page; everything else, and every address but this server's
#: own, is shut.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline' blob:; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


@dataclass(frozen=True)
class SignIn:
    """A shared password, the sessions it opened and the brake on guessing; ``secure`` when served over TLS."""

    password: SharedPassword
    secure: bool = False
    sessions: Sessions = field(default_factory=Sessions)
    throttle: Throttle = field(default_factory=Throttle)
    #: One guess is hashed at a time, so that guesses cannot take the machine away from those who are in.
    hashing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def cookie_name(self, scope: Mapping[str, Any]) -> str:
        """With the port: browsers keep one jar for all ports of a host."""
        return f"{'__Host-' if self.secure else ''}lsi_session_{(scope.get('server') or ('', 0))[1]}"

    def session(self, scope: Scope) -> Session | None:
        header = "; ".join(Headers(scope=scope).getlist("cookie"))
        return self.sessions.of(cookie_parser(header).get(self.cookie_name(scope)))


class Guard:
    """ASGI middleware; ``sign_in`` None lets everybody in who reaches this machine's own address."""

    def __init__(self, app: ASGIApp, sign_in: SignIn | None = None) -> None:
        self._app = app
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not is_host_allowed(headers.get("host")):
            await _refuse(PlainTextResponse("this host name is not served here", 403), scope, receive, send)
            return
        if _from_another_site(scope, headers):
            await _refuse(PlainTextResponse("this request came from another site", 403), scope, receive, send)
            return
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() != NAME_HEADER.encode()]}
        if self._sign_in is None:
            await self._app(scope, receive, _with_headers(send))
            return
        if scope["type"] == "http" and scope["path"] in (SIGN_IN, SIGN_OUT):
            answer = await self._door(Request(scope, receive))
            await answer(scope, receive, _with_headers(send, stored=False))
            return
        session = self._sign_in.session(scope)
        if session is None:
            await _refuse(_closed(scope, headers), scope, receive, send)
            return
        scope["headers"].append((NAME_HEADER.encode(), quote(session.name).encode()))
        if scope["type"] == "websocket":
            await self._until_signed_out(session, scope, receive, send)
        else:
            # Streamlit's own scripts may stay in the browser; pictures, pages and files of this server may not.
            await self._app(scope, receive, _with_headers(send, stored=scope["path"].startswith("/static/")))

    async def _door(self, request: Request) -> Response:
        """The form, what becomes of it, and the way out."""
        sign_in = self._sign_in
        assert sign_in is not None
        cookie = sign_in.cookie_name(request.scope)
        if request.url.path == SIGN_OUT:
            if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return PlainTextResponse("this request came from another site", 403)
            session = sign_in.session(request.scope)
            if session is not None:
                sign_in.sessions.end(session)
            left = RedirectResponse(SIGN_IN, 303, {"Clear-Site-Data": '"cache", "storage"'})
            left.delete_cookie(cookie, secure=sign_in.secure, httponly=True, samesite="lax")
            return left
        target = _local(request.query_params.get("next", "/"))
        if request.method == "GET":
            return _form(target)
        if request.method != "POST":
            return PlainTextResponse("send the form", 405)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_FORM_BYTES:
                return PlainTextResponse("too long", 413)
        sent = parse_qs(body.decode("utf-8", "replace"))
        name, attempt = cleaned_name(sent.get("name", [""])[0]), sent.get("password", [""])[0]
        if not name:
            return _form(target, "Say who you are: decisions carry your name.", status=400)
        address = request.client.host if request.client else "unknown"
        wait = sign_in.throttle.admit(address)
        if wait > 0:
            seconds = int(wait) + 1
            return _form(target, f"Too many wrong passwords. Try again in {seconds} s.", name, 429, seconds)
        async with sign_in.hashing:
            right = await asyncio.to_thread(sign_in.password.matches, attempt)
        if not right:
            return _form(target, "This is not the password.", name, 401)
        sign_in.throttle.right(address)
        entered = RedirectResponse(target, 303)
        entered.set_cookie(
            cookie,
            sign_in.sessions.start(name),
            max_age=HOURS * 3600,
            httponly=True,
            secure=sign_in.secure,
            samesite="lax",
        )
        return entered

    async def _until_signed_out(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a websocket, and close it when its person signs out or the session ends."""
        assert self._sign_in is not None
        sessions = self._sign_in.sessions
        with sessions.watch(session) as left:

            async def until_left() -> Message:
                message, ended = asyncio.ensure_future(receive()), asyncio.ensure_future(left.wait())
                try:
                    remaining = sessions.seconds_left(session)
                    await asyncio.wait({message, ended}, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
                    if message.done() and not left.is_set():
                        return message.result()
                finally:
                    ended.cancel()
                    if not message.done():
                        message.cancel()
                await send({"type": "websocket.close", "code": 1008, "reason": "signed out"})
                return {"type": "websocket.disconnect", "code": 1008}

            await self._app(scope, until_left, send)


def _from_another_site(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another origin sent a request that opens a session or changes something.

    Streamlit's own check lets any port of this machine through, and asks a server on the internet for this machine's
    address when the origin is unknown to it.
    """
    origin = headers.get("origin")
    reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
    return origin is not None and not reads and urlsplit(origin).netloc != headers.get("host")


def _closed(scope: Scope, headers: Headers) -> Response:
    """Without a session: the form for somebody who opens a page, 401 for everything else."""
    if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        wanted = quote(scope["path"]) + (f"?{query}" if query else "")
        return RedirectResponse(f"{SIGN_IN}?next={quote(wanted, safe='')}", 303)
    return PlainTextResponse("sign in first", 401, {"Cache-Control": "no-store"})


def _local(target: str) -> str:
    """``target`` if it is a path of this server, else its start page."""
    plain = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if plain and not target.startswith((SIGN_IN, SIGN_OUT)) else "/"


def _form(target: str, problem: str = "", name: str = "", status: int = 200, retry: int = 0) -> Response:
    headers = {"Content-Security-Policy": page.POLICY} | ({"Retry-After": str(retry)} if retry else {})
    return HTMLResponse(page.form(f"{SIGN_IN}?next={quote(target, safe='')}", problem, name), status, headers)


async def _refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # the attempt to connect; closed before it is accepted, it is answered with 403
        await send({"type": "websocket.close", "code": 1008})
    else:
        await answer(scope, receive, _with_headers(send, stored=False))


def _with_headers(send: Send, *, stored: bool = True) -> Send:
    """``send`` with the protective headers; not ``stored``, the answer is kept by no browser."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", PAGE_POLICY)
            if not stored:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending
