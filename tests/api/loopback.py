"""A small server on loopback that answers as told, so that the tests speak real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from snakemake_executor_cavatica.api.retry import Patience

SECRET = "0123456789abcdef0123456789abcdef"
NEVER = threading.Event()
"""What a reply that never comes is held for; nobody sets it."""
IMPATIENT = Patience(total=5.0, first_wait=0.001, longest_wait=0.02, connect=2.0, read=0.5)


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False  # hang up without an answer
    cut: int | None = None  # promise the whole body, send this many bytes
    held: threading.Event | None = None  # only once that is set

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Handler = Callable[[Request], Reply]


class Server:
    """`on` sets what a route answers: replies in turn (the last one for ever), or a function."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._routes: dict[tuple[str, str], list[Reply] | Handler] = {}
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def endpoint(self) -> str:
        return f"{self.root}/v2"

    def on(self, method: str, path: str, *answers: Reply | Handler) -> None:
        if callable(answers[0]):
            self._routes[method, path] = answers[0]
        else:
            self._routes[method, path] = list(answers)  # type: ignore[arg-type]

    def seen(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def wait_for(self, number: int = 1) -> None:
        """Until so many requests have come."""
        end = time.monotonic() + 30
        while len(self.requests) < number:
            assert time.monotonic() < end, "nobody asked"
            time.sleep(0.005)

    def answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            route = self._routes.get((request.method, request.path))
            if isinstance(route, list):
                return route.pop(0) if len(route) > 1 else route[0]
        if route is None:
            return Reply(404, {"status": 404, "code": 90003, "message": "no such route"})
        return route(request)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class HandlerClass(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize: ClassVar[int] = -1

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                self.command,
                parts.path,
                parse_qs(parts.query, keep_blank_values=True),
                {key.lower(): value for key, value in self.headers.items()},
                self.rfile.read(length),
            )
            reply = server.answer(request)
            if reply.held is not None:
                reply.held.wait(60)
            if reply.drop:
                self.close_connection = True
                return
            body = reply.encoded()
            self.send_response(reply.status)
            for key, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if reply.cut is not None:
                body = body[: reply.cut]
                self.close_connection = True
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_CONNECT = handle_any  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    return HandlerClass
