"""What surrounds every request: faults and the request log, then identity and rate limit."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import deque
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from cavatica_local.errors import ApiError, envelope
from cavatica_local.faults.broken_transfers import disturbed, until_disconnected
from cavatica_local.faults.faults import TRANSFERS, Fault, Faults
from cavatica_local.http.responses import expired, json_response
from cavatica_local.state.platform import Platform, RateLimit

UNLIMITED = 1_000_000_000
DOCUMENTED_LIMIT = 1000
CONTROL = "/_control"
_NOT_LOGGED = re.compile(r"/(_control|u(/|\Z))")
"""Neither is of the platform's API: pages are for people, and their addresses may hold a code."""

Transports = MutableMapping[Any, asyncio.Transport]


def tracking_protocol(transports: Transports) -> type[H11Protocol]:
    """Uvicorn's protocol, noting its open connections by the client's address.

    An ASGI application cannot reach its connection, and a fault has to be able to cut it.
    """

    class Tracked(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._peer = transport.get_extra_info("peername")
            transports[tuple(self._peer)] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(tuple(self._peer), None)
            super().connection_lost(exc)

    return Tracked


@dataclass
class LoggedRequest:
    """One line of the request log."""

    time: float
    method: str
    path: str
    status: int | None = None
    """None while it is being served, and where the connection was cut."""
    fault: str | None = None
    """Kinds of the faults that it met, joined by `+`."""


@dataclass
class Traffic:
    """The log of all requests and the faults that they may meet."""

    faults: Faults
    log: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=1_000_000))
    transports: Transports = field(default_factory=dict)

    def log_as_json(self) -> list[dict[str, Any]]:
        """The whole log."""
        return [asdict(entry) for entry in self.log]


class TrafficMiddleware:
    """Logs each request, delays it by the latency that was asked for, and injects faults."""

    def __init__(self, app: ASGIApp, traffic: Traffic, latency: float) -> None:
        self._app = app
        self._traffic = traffic
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or _NOT_LOGGED.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        entry = LoggedRequest(
            time.time(), scope["method"], scope["path"] + (f"?{query}" if query else "")
        )
        self._traffic.log.append(entry)
        if self._latency:
            await asyncio.sleep(self._latency)
        for fault in self._traffic.faults.for_request(entry.method, entry.path):
            entry.fault = fault.do if entry.fault is None else f"{entry.fault}+{fault.do}"
            if fault.do == "delay":
                receive = await _received(receive)
                await asyncio.sleep(fault.seconds)
            elif fault.do in TRANSFERS:
                close = self._transport(scope).close
                receive, send = disturbed(fault, entry.method, receive, send, close)
            else:
                await self._fail(fault, entry, scope, receive, send)
                return

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            await send(message)

        await self._app(scope, receive, noting_send)

    async def _fail(
        self, fault: Fault, entry: LoggedRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer with an error, or not at all; some faults do so after the call had its effect."""
        if fault.do in ("status-after", "drop-after"):
            await self._app(scope, receive, _discard)
        if fault.do in ("drop-before", "drop-after"):
            self._transport(scope).abort()
            await until_disconnected(receive)
            return
        response = _answer(fault)
        entry.status = response.status_code
        await response(scope, receive, send)

    def _transport(self, scope: Scope) -> asyncio.Transport:
        return self._traffic.transports[tuple(scope["client"])]


def _answer(fault: Fault) -> Response:
    """The answer of a fault, instead of that of the call."""
    if fault.do == "maintenance":
        error = ApiError(0)
        return json_response(error.envelope(), error.status)
    if fault.do == "rate-limit":
        rate = Rate(DOCUMENTED_LIMIT, 0, int(fault.window_end) + 1)
        headers = {name.decode(): value.decode() for name, value in rate.headers()}
        error = ApiError(1000)
        return json_response(error.envelope(), error.status, headers)
    if fault.do == "expire":
        return expired()
    if fault.do == "page":
        return HTMLResponse("<html><body>This page was injected.</body></html>", fault.status)
    body = envelope(fault.status, fault.code, "This error was injected.")
    return json_response(body, fault.status)


async def _received(receive: Receive) -> Receive:
    """A request, all of it: when it is served, whoever has sent it may be gone."""
    messages = deque([await receive()])
    while messages[-1].get("more_body"):
        messages.append(await receive())

    async def replay() -> Message:
        return messages.popleft() if messages else await receive()

    return replay


async def _discard(_message: Message) -> None:
    """Send nothing."""


@dataclass(frozen=True)
class Rate:
    """The state of a token's rate limit."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The documented headers."""
        return [
            (b"x-ratelimit-limit", str(self.limit).encode()),
            (b"x-ratelimit-remaining", str(self.remaining).encode()),
            (b"x-ratelimit-reset", str(self.reset).encode()),
        ]


@dataclass
class _Window:
    start: float
    used: int = 0


class IdentityMiddleware:
    """Who is asking, and whether they may still ask: token, rate limit and the headers of both.

    Documented: 1,000 requests in 5 minutes per token, three `X-RateLimit-` headers, 429 with code
    1000. The window is taken to start with the first request and to be renewed as a whole.
    Storage URLs are no part of the API: they need no token and are not limited.
    """

    def __init__(self, app: ASGIApp, platform: Platform) -> None:
        self._app = app
        self._platform = platform
        self._limit: RateLimit | None = platform.settings.rate_limit
        self._windows: dict[str, _Window] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/v2"):
            await self._app(scope, receive, send)
            return
        # The provider's client calls some paths with a slash at the end.
        path = scope["path"].rstrip("/")
        token = _token(scope)
        username = self._username(token)
        rate, exhausted = self._count(token if username else None, path)
        headers = [*rate.headers(), (b"x-request-id", secrets.token_hex(16).encode())]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if exhausted:
            error = ApiError(1000)
            response = json_response(error.envelope(), error.status)
            await response(scope, receive, send_with_headers)
            return
        inner = {**scope, "path": path, "username": username, "rate": rate}
        await self._app(inner, receive, send_with_headers)

    def _username(self, token: str | None) -> str | None:
        name: str | None = self._platform.database.value(
            "SELECT username FROM users WHERE token = ?", token
        )
        return name

    def _count(self, token: str | None, path: str) -> tuple[Rate, bool]:
        """Count the request; the state of the limit, and whether it was exhausted before."""
        now = time.time()
        if self._limit is None:
            return Rate(UNLIMITED, UNLIMITED, int(now) + 300), False
        requests, seconds = self._limit.requests, self._limit.seconds
        if token is None:
            return Rate(requests, requests, int(now + seconds)), False
        window = self._windows.get(token)
        if window is None or now >= window.start + seconds:
            window = self._windows[token] = _Window(now)
        free = path == "/v2/rate_limit" and not self._platform.switches.rate_limit_call_costs
        exhausted = not free and window.used >= requests
        if not free and not exhausted:
            window.used += 1
        # Rounded up: who waits until this second meets the next window.
        return Rate(requests, requests - window.used, int(window.start + seconds) + 1), exhausted


def _token(scope: Scope) -> str | None:
    """The token: the documented header, or a bearer token (seen in the provider's client)."""
    for name, value in scope["headers"]:
        if name == b"x-sbg-auth-token":
            return str(value.decode("latin-1"))
        if name == b"authorization" and value.startswith(b"Bearer "):
            return str(value[7:].decode("latin-1"))
    return None
