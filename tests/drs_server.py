"""A small GA4GH DRS server, version 1, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

OBJECTS = "/ga4gh/drs/v1/objects/"
SECRET = "of-the-drs-server"


class DrsServer:
    """Objects with their bytes; what it was asked for."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.objects: dict[str, dict[str, Any]] = {}
        self.bytes: dict[str, bytes] = {}
        self.asked: list[str] = []

    def add(
        self, identifier: str, content: bytes, *, by_access_id: bool = False, **changes: Any
    ) -> str:
        """An object; its URI. `changes` are made to its document."""
        self.bytes[identifier] = content
        url = {"url": f"http://{self.host}/bytes/{identifier}", "headers": [f"X-Key: {SECRET}"]}
        access = {"access_id": "https"} if by_access_id else {"access_url": url}
        self.objects[identifier] = {
            "id": identifier,
            "name": f"{identifier}.txt",
            "self_uri": f"drs://{self.host}/{identifier}",
            "size": len(content),
            "created_time": "2026-01-01T00:00:00Z",
            "checksums": [
                {"type": "md5", "checksum": hashlib.md5(content).hexdigest()},
                {"type": "sha-256", "checksum": hashlib.sha256(content).hexdigest()},
            ],
            "access_methods": [
                {"type": "s3", "access_url": {"url": "s3://a/b"}},
                {"type": "https", **access},
            ],
            **changes,
        }
        return self.uri(identifier)

    def uri(self, identifier: str) -> str:
        return f"drs://{self.host}/{identifier}"

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """What is answered to a GET."""
        self.asked.append(path)
        if path.startswith("/bytes/"):
            allowed = headers.get("X-Key") == SECRET
            return (200, self.bytes[unquote(path[7:])]) if allowed else (403, b"no")
        identifier, _, access = path.removeprefix(OBJECTS).partition("/access/")
        document = self.objects.get(unquote(identifier))
        if not path.startswith(OBJECTS) or document is None:
            return 404, b'{"msg": "no such object", "status_code": 404}'
        if document.get("secret"):
            return 403, b'{"msg": "not for you", "status_code": 403}'
        if access:
            url = f"http://{self.host}/bytes/{identifier}"
            document = {"url": url, "headers": [f"X-Key: {SECRET}"]}
        return 200, json.dumps(document).encode()


@contextmanager
def drs_server() -> Iterator[DrsServer]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = served.answer(self.path, self.headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = DrsServer(http.server_port)
    threading.Thread(target=http.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield served
    finally:
        http.shutdown()
        http.server_close()
