"""What the platform itself has on record about a run, asked for without the plugin's client."""

from __future__ import annotations

import ast
import json
import re
import shlex
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

LIVE = ("DRAFT", "CREATING", "QUEUED", "RUNNING", "ABORTING")
_COMMAND = "snakemake_command"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{24}")
_PAGE = 100
_LOOK_AGAIN = 1.0
TOO_MANY = 429


@dataclass(frozen=True)
class Execution:
    """One command that the platform has started."""

    task: str
    exit_status: int | None
    ended: float | None


@dataclass(frozen=True)
class Request:
    """One line of the platform's request log."""

    time: float
    method: str
    path: str
    status: int | None
    fault: str | None

    @property
    def is_call(self) -> bool:
        """Whether it is one to the API, and not to the storage."""
        return self.path.startswith("/v2")

    @property
    def kind(self) -> str:
        """Method and path, without what differs between files or tasks."""
        return f"{self.method} {_ID.sub('ID', self.path.partition('?')[0])}"


@dataclass(frozen=True)
class TaskRecord:
    """A task, as the API shows it."""

    id: str
    name: str
    status: str
    message: str
    keys: tuple[str, ...]
    """The jobs that its command runs."""
    document: str
    """All of it, as JSON."""


@dataclass
class Records:
    """Everything that is left of a run on the platform."""

    tasks: dict[str, TaskRecord]
    executions: list[Execution]
    requests: list[Request]
    successes: dict[str, list[str]] = field(init=False)
    """For each job the tasks in which its command ran to success, and whose result was there."""

    def __post_init__(self) -> None:
        self.successes = defaultdict(list)
        for execution in self.executions:
            task = self.tasks.get(execution.task)
            if task and execution.exit_status == 0 and task.status == "COMPLETED":
                for key in task.keys:
                    self.successes[key].append(task.id)

    @cached_property
    def in_vain(self) -> Counter[str]:
        """How many tasks of each job ended without success."""
        return Counter(
            key
            for task in self.tasks.values()
            if task.status in ("FAILED", "ABORTED")
            for key in task.keys
        )

    @property
    def forgotten(self) -> int:
        """Executions of tasks that the platform knows nothing of any more."""
        return sum(execution.task not in self.tasks for execution in self.executions)


class Observer:
    """Reads a platform's records; its own requests come after those that it reports."""

    def __init__(self, endpoint: str, token: str, project: str) -> None:
        self._endpoint = endpoint
        self._token = token
        self._project = project

    # ------------------------------------------------------------------------------- control

    def control(self, name: str, body: object = None) -> Any:
        """Call `/_control/<name>`; with a body it is a POST."""
        return self._json(f"{self._endpoint.removesuffix('/v2')}/_control/{name}", body)

    def executions(self) -> list[Execution]:
        """Every command that was started."""
        return [
            Execution(one["task"], one["exit_status"], one["end"])
            for one in self.control("executions")
        ]

    def requests(self) -> list[Request]:
        """Every request so far."""
        return [
            Request(one["time"], one["method"], one["path"], one["status"], one["fault"])
            for one in self.control("log")
        ]

    # ----------------------------------------------------------------------------------- API

    def records(self, requests: list[Request]) -> Records:
        """All tasks and executions, beside the requests that were made until now."""
        executions = self.executions()
        return Records({task.id: task for task in self.tasks()}, executions, requests)

    def tasks(self) -> list[TaskRecord]:
        """All tasks of the project."""
        query = urllib.parse.urlencode({"project": self._project})
        ids = [str(item["id"]) for item in self._items(f"/tasks?{query}")]
        found = []
        for start in range(0, len(ids), _PAGE):
            body = {"task_ids": ids[start : start + _PAGE]}
            for item in self._api("/bulk/tasks/get", body)["items"]:
                if "resource" in item:
                    found.append(_task(item["resource"]))
        return found

    def folder(self, path: str) -> dict[str, bytes]:
        """The files below a folder of the project, by path."""
        query = urllib.parse.urlencode({"project": self._project})
        items = list(self._items(f"/files?{query}"))
        for name in path.split("/"):
            inside = [item for item in items if item["name"] == name]
            if not inside:
                return {}
            items = list(self._items(f"/files/{inside[0]['id']}/list?"))
        return dict(self._below(items, ""))

    def _below(self, items: Sequence[Any], prefix: str) -> Iterator[tuple[str, bytes]]:
        for item in items:
            path = prefix + str(item["name"])
            if item["type"].upper() == "FOLDER":
                inside = list(self._items(f"/files/{item['id']}/list?"))
                yield from self._below(inside, f"{_decoded(path)}/")
            else:
                url = self._api(f"/files/{item['id']}/download_info")["url"]
                with urllib.request.urlopen(url, timeout=30) as answer:
                    yield path, answer.read()

    def _items(self, path: str) -> Iterator[Any]:
        offset = 0
        while True:
            page = self._api(f"{path}&limit={_PAGE}&offset={offset}")["items"]
            yield from page
            if len(page) < _PAGE:
                return
            offset += _PAGE

    def _api(self, path: str, body: object = None) -> Any:
        while True:
            try:
                return self._json(self._endpoint + path, body)
            except urllib.error.HTTPError as error:
                if error.code != TOO_MANY:
                    raise
                time.sleep(_LOOK_AGAIN)

    def _json(self, url: str, body: object) -> Any:
        request = urllib.request.Request(
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-SBG-Auth-Token": self._token, "Content-Type": "application/json"},
            method="GET" if body is None else "POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def _decoded(folder: str) -> str:
    """A folder's name: what the platform does not allow in it stands there as `_.XX`, in hex."""
    raw = re.sub(
        rb"_\.([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), folder.encode()
    )
    return raw.decode()


def _task(document: dict[str, Any]) -> TaskRecord:
    message = (document.get("execution_status") or {}).get("message") or ""
    return TaskRecord(
        document["id"],
        document["name"],
        document["status"],
        message,
        jobs_of_command(str((document.get("inputs") or {}).get(_COMMAND) or "")),
        json.dumps(document),
    )


def jobs_of_command(command: str) -> tuple[str, ...]:
    """The jobs that a task's command runs, as `rule:value of the wildcard`.

    A direct command says so in its first line, a script by the object that it is given, and
    Snakemake by its target jobs.
    """
    first = command.lstrip().partition("\n")[0]
    if first.startswith(": job="):
        return (shlex.split(first)[1].removeprefix("job="),)
    for line in command.split("\n"):
        if line.startswith("snakemake = "):
            return (_job_of_script(line),)
    words = shlex.split(command)
    if "--target-jobs" not in words:
        return ()
    targets = words[words.index("--target-jobs") + 1 :]
    end = next((n for n, word in enumerate(targets) if word.startswith("--")), len(targets))
    return tuple(sorted(target.replace(":x=", ":", 1) for target in targets[:end]))


def _job_of_script(line: str) -> str:
    """The job, from the line of Python that makes the object `snakemake`."""
    statement = ast.parse(line).body[0]
    assert isinstance(statement, ast.Assign)
    assert isinstance(statement.value, ast.Call)
    given = {keyword.arg: keyword.value for keyword in statement.value.keywords}
    wildcards = given["wildcards"]
    assert isinstance(wildcards, ast.Call)
    values = ast.literal_eval(wildcards.args[0])
    return f"{ast.literal_eval(given['rule'])}:{values[0] if values else ''}"
