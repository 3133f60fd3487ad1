"""Servers for the tests: real processes, reached over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

UNPROTECTED = ("setpriv", "--bounding-set=-sys_admin") if os.geteuid() == 0 else ()
"""Lets a server run that cannot make the inputs of its tasks read-only."""
TERMINAL = ("COMPLETED", "FAILED", "ABORTED")


@dataclass
class Server:
    """A running `cavatica-local serve`."""

    process: subprocess.Popen[str]
    root: Path
    api: str
    token: str
    project: str
    pages: str
    """An address that is good once."""
    certificate: str | None = None
    """Of the authority that signed the server's, if it speaks https."""

    @classmethod
    def start(cls, root: Path, *options: str, within: Sequence[str] = ()) -> Server:
        """`within`: a command that runs the server's, as `env` does."""
        process = subprocess.Popen(
            [
                *within,
                *(sys.executable, "-m", "cavatica_local", "serve"),
                *("--root", str(root), "--control", *options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        known = (ready["api_endpoint"], ready["auth_token"], ready["project"], ready["pages"])
        return cls(process, root, *known, certificate=ready.get("certificate"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    # --- plain HTTP ---

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """One request with the token (another user's, if given)."""
        token = options.pop("token", self.token)
        return requests.request(
            method,
            path if path.startswith("http") else self.api + path,
            headers={"X-SBG-Auth-Token": token, **options.pop("headers", {})},
            json=body,
            timeout=30,
            verify=self.certificate,
            **options,
        )

    def get(self, path: str, **options: Any) -> Any:
        return self.ok("GET", path, **options)

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        response = self.call(method, path, body, **options)
        assert response.ok, (method, path, response.status_code, response.text)
        return response.json() if response.content else None

    def error(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, int]:
        """Status and code of a request that has to fail."""
        response = self.call(method, path, body, **options)
        assert not response.ok, (method, path, response.text)
        document = response.json()
        assert document["status"] == response.status_code
        assert document["more_info"].endswith(f"#{document['code']}")
        return response.status_code, document["code"]

    def control(self, name: str, body: Any = None) -> Any:
        url = self.api.removesuffix("/v2") + f"/_control/{name}"
        response = (
            requests.get(url, timeout=30)
            if body is None
            else requests.post(url, json=body, timeout=30)
        )
        assert response.ok, response.text
        return response.json()

    # --- what most tests need ---

    def upload(self, name: str, content: bytes, **place: str) -> str:
        """Upload a small file; its id."""
        target = place or {"project": self.project}
        upload = self.ok("POST", "/upload/multipart", {"name": name, **target})["upload_id"]
        part = self.get(f"/upload/multipart/{upload}/part/1")
        etag = requests.put(part["url"], data=content, timeout=30).headers["ETag"]
        report = {"part_number": 1, "response": {"headers": {"ETag": etag}}}
        self.ok("POST", f"/upload/multipart/{upload}/part", report)
        return str(self.ok("POST", f"/upload/multipart/{upload}/complete")["id"])

    def content(self, file_id: str) -> bytes:
        url = self.get(f"/files/{file_id}/download_info")["url"]
        response = requests.get(url, timeout=30)
        assert response.ok, response.text
        return response.content

    def install(self, name: str, document: dict[str, Any], **options: Any) -> str:
        """Install an app in the project; its id."""
        app = f"{self.project}/{name}"
        self.ok("POST", f"/apps/{app}/raw", document, **options)
        return app

    def draft(self, app: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"project": self.project, "app": app, "name": "a task", "inputs": inputs, **more}
        return dict(self.ok("POST", "/tasks", body))

    def run(self, app: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Run a task to its end."""
        task = self.draft(app, inputs, **more)
        self.ok("POST", f"/tasks/{task['id']}/actions/run")
        return self.wait(task["id"])

    def wait(self, task_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until a task has ended."""
        return self.until(
            lambda: self.get(f"/tasks/{task_id}"), lambda task: task["status"] in TERMINAL, seconds
        )

    def until(
        self, ask: Callable[[], Any], done: Callable[[Any], bool], seconds: float = 60
    ) -> Any:
        limit = time.monotonic() + seconds
        while not done(answer := ask()):
            assert time.monotonic() < limit, answer
            time.sleep(0.05)
        return answer

    def job(self, kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Do an async job to its end."""
        job = self.ok("POST", f"/async/files/{kind}", {"items": items})
        return dict(
            self.until(lambda: self.get(job["href"]), lambda job: job["state"] == "FINISHED")
        )


Serve = Callable[..., Server]
"""Starts a server with the given options."""


def file_input(key: str) -> dict[str, str]:
    return {"class": "File", "path": key}


def tool(
    command: str, inputs: dict[str, Any], outputs: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """A CWL tool that runs a shell command with its inputs as environment variables."""
    environment = {
        name: f"$(inputs.{name}.path)" if kind == "File" else f"$(inputs.{name})"
        for name, kind in inputs.items()
        if kind in ("File", "string")
    }
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", command],
        "requirements": {"EnvVarRequirement": {"envDef": environment}},
        "inputs": inputs,
        "outputs": outputs,
        **more,
    }


def file_output(glob: str) -> dict[str, Any]:
    return {"type": "File", "outputBinding": {"glob": glob}}
