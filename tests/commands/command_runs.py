"""Runs the commands as a user does, against real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from snakemake_executor_cavatica.api import CavaticaError, Client, File, Task, TaskDraft, Token
from snakemake_executor_cavatica.api.upload import upload
from snakemake_executor_cavatica.project.find_folder import find_folder
from tests import warm_start
from tests.fresh_project import fresh_project

TIMEOUT = 150
CLEAN = ("snakemake_executor_cavatica.commands.main", "clean")
LOCAL = "cavatica_local"
RUN = "20260101-120000-abcdef"
SLEEP = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sleep"],
    "inputs": [
        {"id": "seconds", "type": "int", "inputBinding": {"position": 1}},
        {"id": "files", "type": "File[]?"},
    ],
    "outputs": [],
}


@dataclass
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"status {self.status}\n{self.out}\n{self.err}"


@dataclass
class Server:
    """A running `cavatica-local serve`, and a client of it."""

    endpoint: str
    token: str
    project: str
    process: subprocess.Popen[str]
    client: Client
    requests_before: int = 0
    executions_before: int = 0
    struck_before: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, root: Path, *options: str) -> Server:
        defaults = () if "--rate-limit" in options else ("--rate-limit", "off")
        command = [sys.executable, "-m", LOCAL, "serve", "--root", str(root), "--control"]
        process = subprocess.Popen(
            [*command, *defaults, *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        endpoint, token = ready["api_endpoint"], ready["auth_token"]
        return cls(endpoint, token, ready["project"], process, Client(endpoint, Token(token)))

    def fresh(self) -> Server:
        """The same server with a project of its own, and records that begin now."""
        return replace(
            self,
            project=fresh_project(self.endpoint, self.token),
            requests_before=self.requests_before + len(self.requests()),
            executions_before=self.executions_before + len(self.executions()),
            struck_before=self.control("faults")["struck"],
        )

    def leave(self) -> None:
        """Let nothing of this project disturb those who use the server later."""
        self.control("faults", [])
        for task in self.client.list_tasks(project=self.project):
            if task.status in ("QUEUED", "RUNNING"):
                with suppress(CavaticaError):  # it may have ended meanwhile
                    self.client.abort_task(task.id)

    def fail_workflow(self, directory: Path, *options: str) -> str:
        """Run the workflow of a directory, which fails; what Snakemake tells."""
        process = warm_start.Popen(
            [sys.executable, "-m", "snakemake", "--executor", "cavatica", *options],
            cwd=directory,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 1, output
        return str(output)

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def control(self, name: str, body: object = None) -> Any:
        """Call `/_control/<name>`; with a body it is a POST."""
        return self._send(f"{self.endpoint.removesuffix('/v2')}/_control/{name}", body)

    def call(self, path: str, body: object = None) -> Any:
        """Call the API without our client."""
        return self._send(f"{self.endpoint}{path}", body)

    def _send(self, url: str, body: object) -> Any:
        request = urllib.request.Request(
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-SBG-Auth-Token": self.token, "Content-Type": "application/json"},
            method="GET" if body is None else "POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def requests(self) -> list[dict[str, Any]]:
        log = self.control("log")
        return list(log["items"] if isinstance(log, dict) else log)[self.requests_before :]

    def executions(self) -> list[dict[str, Any]]:
        """What was executed since the project is this test's own."""
        log = self.control("executions")
        return list(log["items"] if isinstance(log, dict) else log)[self.executions_before :]

    def struck(self, kind: str) -> int:
        """How many faults of this kind have struck."""
        struck: dict[str, int] = self.control("faults")["struck"]
        return struck.get(kind, 0) - self.struck_before.get(kind, 0)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SB_API_ENDPOINT": self.endpoint,
            "SB_AUTH_TOKEN": self.token,
            "SNAKEMAKE_CAVATICA_PROJECT": self.project,
        }

    def command(self, *words: str, environment: Mapping[str, str] = {}, cwd: Any = None) -> Result:
        """Run `python -m <words>` without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", *words],
            env={**self.environment(), **environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def clean(self, *arguments: str, **options: Any) -> Result:
        return self.command(*CLEAN, *arguments, **options)

    # --- what a run leaves ---

    def folder(self, path: str) -> str:
        """The id of the folder at `path`, made if needed."""
        parent: str | None = None
        for part in path.split("/"):
            where = {"parent": parent} if parent else {"project": self.project}
            found = [file.id for file in self.client.list_files(names=[part], **where)]
            parent = found[0] if found else self.client.create_folder(part, **where).id
        assert parent is not None
        return parent

    def put(self, path: str, content: str = "content") -> File:
        """A file at `path`."""
        folder, _, name = path.rpartition("/")
        source = Path(os.environ.get("TMPDIR", "/tmp"), f"put-{os.getpid()}")
        source.write_text(content)
        return upload(self.client, source, parent=self.folder(folder), name=name).file

    def find(self, path: str) -> File | None:
        """What is at `path`."""
        folder, _, name = path.rpartition("/")
        if not folder:
            return find_folder(self.client, self.project, name)
        parent = find_folder(self.client, self.project, folder)
        if parent is None:
            return None
        return next(self.client.list_files(parent=parent.id, names=[name]), None)

    def names(self, path: str) -> set[str]:
        """Names of what is in the folder at `path`."""
        folder = find_folder(self.client, self.project, path)
        assert folder is not None, path
        return {file.name for file in self.client.list_files(parent=folder.id)}

    def draft(
        self, run: str | None = RUN, *, seconds: int = 60, files: Sequence[File] = ()
    ) -> Task:
        """A draft that looks like the plugin's own, or like somebody else's."""
        app = f"{self.project}/sleep"
        if not any(True for _ in self.client.list_tasks(project=self.project)):
            self.client.install_app(app, SLEEP)
        return self.client.create_task(
            TaskDraft(
                project=self.project,
                app=app,
                name="sleep",
                description=f"Snakemake run {run}, job 1, attempt 1: sleep." if run else "mine",
                inputs={
                    "seconds": seconds,
                    "files": [{"class": "File", "path": file.id} for file in files],
                },
            )
        )

    def status(self, task: Task) -> str | None:
        answer = self.client.get_tasks([task.id])[task.id]
        return answer.status if isinstance(answer, Task) else None


Serve = Callable[..., Server]
