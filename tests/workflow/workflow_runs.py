"""Runs workflows with the real `snakemake` command against a real server, in both data places."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from snakemake_executor_cavatica.api import CavaticaError, Client, Token
from snakemake_executor_cavatica.project.fetch_store import fetch, store
from snakemake_executor_cavatica.project.index import ProjectIndex
from tests import warm_start
from tests.fresh_project import fresh_project


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that has to happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


DataPlace = Literal["transfer", "storage"]
TIMEOUT = 120


@dataclass
class Platform:
    """A running `cavatica-local serve --control`."""

    endpoint: str
    token: str
    project: str
    process: subprocess.Popen[str]
    injected: list[Mapping[str, Any]] = field(default_factory=list)
    requests_before: int = 0
    executions_before: int = 0
    struck_before: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, root: Path, *options: str) -> Platform:
        """Serve `root` until `stop`."""
        defaults = () if "--rate-limit" in options else ("--rate-limit", "off")
        command = [sys.executable, "-m", "cavatica_local", "serve"]
        process = subprocess.Popen(
            [*command, "--root", str(root), "--control", *defaults, *options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        return cls(ready["api_endpoint"], ready["auth_token"], ready["project"], process)

    def stop(self) -> None:
        """End the server as Ctrl-C does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def fresh(self) -> Platform:
        """The same server with a project of its own, and records that begin now."""
        return replace(
            self,
            project=fresh_project(self.endpoint, self.token),
            injected=[],
            requests_before=len(self._log("log")),
            executions_before=len(self._log("executions")),
            struck_before=self.control("faults")["struck"],
        )

    def leave(self) -> None:
        """Let nothing of this project disturb those who use the server later."""
        self.control("faults", [])
        until(self._is_left)

    def _is_left(self) -> bool:
        """Whether no task is under way; those that are are aborted."""
        with self.client() as client:
            tasks = list(client.list_tasks(project=self.project))
            live = [task for task in tasks if not task.is_terminal and task.status != "DRAFT"]
            for task in live:
                with suppress(CavaticaError):  # it may have ended meanwhile
                    client.abort_task(task.id)
        return not live

    def client(self) -> Client:
        """Our own client, to look at what a run left."""
        return Client(self.endpoint, Token(self.token))

    def control(self, name: str, body: object = None) -> Any:
        """Call `/_control/<name>`; with a body it is a POST."""
        request = urllib.request.Request(
            f"{self.endpoint.removesuffix('/v2')}/_control/{name}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-SBG-Auth-Token": self.token, "Content-Type": "application/json"},
            method="GET" if body is None else "POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def inject(self, *faults: Mapping[str, Any]) -> None:
        """Have these faults from now on, and none of those before.

        A test whose fault never strikes shows nothing: it fails in the end, see `missed_faults`.
        """
        self.control("faults", list(faults))
        self.injected += faults

    def missed_faults(self) -> list[Mapping[str, Any]]:
        """What was injected and struck nothing, or less often than it was to."""
        requests = self.requests()
        of_tasks = self.control("faults")["struck"]
        return [
            fault
            for fault in self.injected
            if fault.get("times", 1)
            > (of_tasks.get(fault["do"], 0) - self.struck_before.get(fault["do"], 0))
            * fault["do"].endswith("-task")
            + sum(_has_met(request, fault) for request in requests)
        ]

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far."""
        return self._log("log")[self.requests_before :]

    def executions(self) -> list[dict[str, Any]]:
        """Every command that was really started."""
        return self._log("executions")[self.executions_before :]

    def _log(self, name: str) -> list[dict[str, Any]]:
        log = self.control(name)
        return list(log["items"] if isinstance(log, dict) else log)


def _has_met(request: Mapping[str, Any], fault: Mapping[str, Any]) -> bool:
    return (
        fault["do"] in (request["fault"] or "").split("+")
        and re.fullmatch(fault.get("method", ".*"), request["method"]) is not None
        and re.search(fault.get("path", ""), request["path"]) is not None
    )


@dataclass
class Result:
    """How a run of `snakemake` ended."""

    status: int
    output: str

    @property
    def nothing_to_do(self) -> bool:
        """Whether Snakemake found all outputs up to date."""
        return self.status == 0 and "Nothing to be done" in self.output


@dataclass
class Workflow:
    """A workflow in a directory of its own."""

    directory: Path
    platform: Platform
    place: DataPlace = "transfer"
    folder: str = field(default_factory=lambda: f"wf-{uuid.uuid4().hex[:8]}")

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the workflow itself; new ones as if some seconds ago.

        The platform tells times in whole seconds, cut off: a result that is made within a second of
        its script would look older, and be made again.
        """
        for name, text in files.items():
            path = self.directory / name
            is_new = not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            if is_new:
                os.utime(path, (time.time() - 5,) * 2)

    def put(self, files: Mapping[str, str | bytes]) -> None:
        """Make inputs available where the data live."""
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            if self.place == "storage":
                with self.platform.client() as client:
                    index = ProjectIndex(client, self.platform.project)
                    store(index, path, f"{self.folder}/{name}")
                path.unlink()

    @property
    def prefix(self) -> str:
        """The default storage prefix."""
        return f"cavatica://{self.platform.project}/{self.folder}"

    def arguments(self) -> list[str]:
        """What every run is called with."""
        common = ["--executor", "cavatica", "--cavatica-project", self.platform.project]
        common += ["--jobs", "10", "--latency-wait", "2"]
        if self.place == "storage":
            common += ["--default-storage-provider", "cavatica"]
            common += ["--default-storage-prefix", self.prefix]
        return common

    def environment(self) -> dict[str, str]:
        """The environment of every run."""
        return {
            **os.environ,
            "SB_API_ENDPOINT": self.platform.endpoint,
            "SB_AUTH_TOKEN": self.platform.token,
        }

    def start(self, *arguments: str, environment: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        """Start Snakemake and return at once; its output goes to the process's stdout."""
        return warm_start.Popen(
            [sys.executable, "-m", "snakemake", *self.arguments(), *arguments],
            cwd=self.directory,
            env={**self.environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=warm_start.as_in_a_terminal,
        )

    def run(
        self, *arguments: str, environment: Mapping[str, str] = {}, timeout: float = TIMEOUT
    ) -> Result:
        """Run Snakemake to its end."""
        process = self.start(*arguments, environment=environment)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"Snakemake hangs:\n{output}") from None
        return Result(process.returncode, output)

    def succeed(self, *arguments: str) -> Result:
        """Run, and insist on success."""
        result = self.run(*arguments)
        assert result.status == 0, result.output
        return result

    def fail(self, *arguments: str, environment: Mapping[str, str] = {}) -> Result:
        """Run, and insist on a failure that is told without a traceback."""
        result = self.run(*arguments, environment=environment)
        assert result.status != 0, result.output
        assert "Traceback" not in result.output, result.output
        return result

    def remove(self, name: str) -> None:
        """Delete a file where the data live."""
        if self.place == "transfer":
            (self.directory / name).unlink()
            return
        with self.platform.client() as client:
            ProjectIndex(client, self.platform.project).remove(f"{self.folder}/{name}")

    def read(self, name: str) -> str | None:
        """The content of a file where the data live; None if there is none."""
        if self.place == "transfer":
            path = self.directory / name
            return path.read_text() if path.exists() else None
        with self.platform.client() as client:
            entry = ProjectIndex(client, self.platform.project).find(f"{self.folder}/{name}")
            if entry is None:
                return None
            target = self.directory / ".test-read"
            fetch(client, entry.id, target, size=entry.size, folder=entry.folder)
            return target.read_text() if not entry.folder else "folder"


def new_workflow(folder: Path, platform: Platform, place: DataPlace = "transfer") -> Workflow:
    """A workflow in a new directory below that folder."""
    directory = folder / "workflow"
    directory.mkdir()
    return Workflow(directory, platform, place)
