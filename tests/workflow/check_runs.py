"""Runs `snakemake-cavatica check` on workflows, and a registry of images on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workflow_runs import TIMEOUT, Platform, Workflow

from tests import warm_start

MADE = ("/tasks", "/files", "/apps", "/upload")


@dataclass
class Check:
    """How a check ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def texts(self, grade: str = "problem") -> list[str]:
        """What it has found."""
        return [one["text"] for one in self.document["findings"] if one["grade"] == grade]


def check(
    workflow: Workflow,
    *arguments: str,
    environment: Mapping[str, str] = {},
    as_json: bool = True,
) -> Check:
    """Check what `workflow.run` would run; it makes nothing on the platform, whatever it finds."""
    before = len(workflow.platform.requests())
    command = [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", "check"]
    options = ["--json"] if as_json else []
    process = warm_start.Popen(
        [*command, *options, "--", *workflow.arguments(), *arguments],
        cwd=workflow.directory,
        env={**workflow.environment(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=TIMEOUT)
    assert "Traceback" not in out + err, err
    sent = workflow.platform.requests()[before:]
    made = [one for one in sent if one["method"] != "GET" and "/bulk/" not in one["path"]]
    assert not made, made
    return Check(process.returncode, out, err)


def call(platform: Platform, method: str, path: str, body: object, token: str = "") -> Any:
    """A call of the API, by the platform's first user unless a token says otherwise."""
    request = urllib.request.Request(
        f"{platform.endpoint}{path}",
        data=json.dumps(body).encode(),
        headers={
            "X-SBG-Auth-Token": token or platform.token,
            "Content-Type": "application/json",
        },
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


DIGEST = f"sha256:{'1234567890abcdef' * 4}"


class _Registry(BaseHTTPRequestHandler):
    """Has `there:1` for who brings the token that everybody gets, and `private` for nobody."""

    def do_GET(self) -> None:
        """The anonymous token."""
        body = json.dumps({"token": "for-everybody"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        host = self.headers["Host"]
        if self.headers.get("Authorization") != "Bearer for-everybody":
            self.send_response(401)
            realm = f'realm="http://{host}/token",service="here",scope="repository:x:pull"'
            self.send_header("WWW-Authenticate", f"Bearer {realm}")
        elif "/private/" in self.path:
            self.send_response(403)
        elif self.path == "/v2/there/manifests/1":
            self.send_response(200)
            self.send_header("Docker-Content-Digest", DIGEST)
        else:
            self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to stderr."""


@contextmanager
def registry() -> Iterator[str]:
    """A registry of images; its address, as images name it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
