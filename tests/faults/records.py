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
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

LIVE = ("DRAFT", "CREATING", "QUEUED", "RUNNING", "ABORTING")
_COMMAND = "snakemake_command"
_ROLL = "# Jobs: "
_COMMAND_OF_MANIFEST = re.compile(r"^cat > .* <<'([^']+)' .*\n((?s:.*?))\1\n", re.MULTILINE)
COORDINATORS = "local/snakemake-coordinator"
"""The project of main processes that were submitted."""
_TASK_OF_FOLDER = re.compile(r"/workspaces/[^/]+/tasks/([^/]+)/")
Kind = Literal["single", "batch", "child", "pack"]
"""single: a task of its own; batch: one whose children run the jobs; pack: one that runs several
jobs and succeeds whether they do or not.
"""
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
    started: float = 0.0


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
    """The jobs that its command runs; none for a batch."""
    document: str
    """All of it, as JSON."""
    kind: Kind = "single"
    parent: str | None = None
    owner: str = ""
    """The user who has made it."""


@dataclass
class Records:
    """Everything that is left of a run on the platform."""

    tasks: dict[str, TaskRecord]
    executions: list[Execution]
    requests: list[Request]
    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often the command of a job came to its end in a task, by the commands themselves."""
    successes: dict[str, list[str]] = field(init=False)
    """For each job the tasks in which its command ran to success, and whose result was there."""

    def __post_init__(self) -> None:
        self.successes = defaultdict(list)
        for execution in self.executions:
            task = self.tasks.get(execution.task)
            if task and execution.exit_status == 0 and task.status == "COMPLETED":
                for key in task.keys:
                    # A pack tells nothing of its jobs by its own success.
                    if task.kind != "pack" or self.endings[key, task.id]:
                        self.successes[key].append(task.id)

    @cached_property
    def in_vain(self) -> Counter[str]:
        """How many tasks of each job ended without success."""
        return Counter(
            key
            for task in self.tasks.values()
            for key in task.keys
            if task.status in ("FAILED", "ABORTED")
            or (task.kind == "pack" and task.status == "COMPLETED" and task.id not in self.of(key))
        )

    def of(self, key: str) -> list[str]:
        """The tasks in which a job succeeded."""
        return self.successes.get(key, [])

    def of_owner(self, owner: str) -> Records:
        """What one user has done; executions of tasks that nobody knows may be anybody's."""
        tasks = {name: task for name, task in self.tasks.items() if task.owner == owner}
        others = self.tasks.keys() - tasks.keys()
        executions = [one for one in self.executions if one.task not in others]
        ended = Counter({key: n for key, n in self.endings.items() if key[1] not in others})
        return Records(tasks, executions, self.requests, ended)

    def starts(self, task: str) -> int:
        """How often the platform started a task; more than once if it lost an instance."""
        return sum(execution.task == task for execution in self.executions)

    def children(self, batch: str) -> list[TaskRecord]:
        """The children of a batch."""
        return [task for task in self.tasks.values() if task.parent == batch]

    @property
    def shared(self) -> Counter[str]:
        """How many tasks were made for several jobs, and for how many."""
        counts: Counter[str] = Counter()
        for task in self.tasks.values():
            if task.kind == "pack":
                counts.update({"packs": 1, "pieces": len(task.keys)})
            elif task.kind == "child":
                counts["children"] += 1
            elif task.kind == "batch" and self.children(task.id):
                counts["batches"] += 1
        return counts

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

    def of_project(self, project: str) -> Observer:
        """The same for another project."""
        return Observer(self._endpoint, self._token, project)

    def executions(self) -> list[Execution]:
        """Every command of a job that was started."""
        return self._executions(of_coordinators=False)

    def coordinators(self) -> list[Execution]:
        """Every main process that was started as a task."""
        return self._executions(of_coordinators=True)

    def _executions(self, *, of_coordinators: bool) -> list[Execution]:
        return [
            Execution(one["task"], one["exit_status"], one["end"], one["start"])
            for one in self.control("executions")
            if (one["project"] == COORDINATORS) == of_coordinators
        ]

    def end(self, task: str, way: str) -> None:
        """End a task: by its user (`abort`), or as the platform does (`fail`, `interrupt`)."""
        if way != "abort":
            self.control(way, {"task": task})
            return
        with suppress(urllib.error.HTTPError):  # it has ended
            self._api(f"/tasks/{task}/actions/abort", {})

    def has_project(self) -> bool:
        """Whether there is such a project."""
        return any(one["id"] == self._project for one in self._items("/projects?"))

    def requests(self) -> list[Request]:
        """Every request so far."""
        return [
            Request(one["time"], one["method"], one["path"], one["status"], one["fault"])
            for one in self.control("log")
        ]

    def renew(self, token: str) -> None:
        """The user has another token now."""
        self._token = token

    # ----------------------------------------------------------------------------------- API

    def user(self) -> str:
        """The user whose token it is."""
        return str(self._api("/user")["username"])

    def add_member(self, project: str, username: str, permissions: Sequence[str]) -> None:
        """Let another user into a project."""
        granted = dict.fromkeys(permissions, True)
        self._api(f"/projects/{project}/members", {"username": username, "permissions": granted})

    def journals(self) -> list[str]:
        """Names of the journals that runs have left in the plugin's folder."""
        query = urllib.parse.urlencode({"project": self._project})
        homes = [one for one in self._items(f"/files?{query}") if one["name"] == "snakemake"]
        found = [one for home in homes for one in self._items(f"/files/{home['id']}/list?")]
        return [one["name"] for one in found if one["name"].startswith("under-way-")]

    def records(self, requests: list[Request], endings: Counter[tuple[str, str]]) -> Records:
        """All tasks and executions, beside the requests that were made until now.

        Args:
            endings: what the commands themselves have noted.
        """
        executions = self.executions()
        return Records({task.id: task for task in self.tasks()}, executions, requests, endings)

    def tasks(self) -> list[TaskRecord]:
        """All tasks of the project, with the children of batches."""
        found = self._documents({"project": self._project})
        for batch in [document for document in found if document["batch"]]:
            found += self._documents({"parent": batch["id"]})
        return [task_record(document) for document in found]

    def _documents(self, which: dict[str, str]) -> list[dict[str, Any]]:
        ids = [str(item["id"]) for item in self._items(f"/tasks?{urllib.parse.urlencode(which)}")]
        found = []
        for start in range(0, len(ids), _PAGE):
            answer = self._api("/bulk/tasks/get", {"task_ids": ids[start : start + _PAGE]})
            found += [item["resource"] for item in answer["items"] if "resource" in item]
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


def task_record(document: dict[str, Any]) -> TaskRecord:
    """A task, from the API's document."""
    message = (document.get("execution_status") or {}).get("message") or ""
    kind, keys = _jobs_of(document)
    return TaskRecord(
        document["id"],
        document["name"],
        document["status"],
        message,
        keys,
        json.dumps(document),
        kind,
        document.get("parent"),
        document.get("created_by", ""),
    )


def _jobs_of(document: dict[str, Any]) -> tuple[Kind, tuple[str, ...]]:
    """Which kind of task it is, and the jobs that its own command runs."""
    inputs = document.get("inputs") or {}
    command = str(inputs.get(_COMMAND) or "")
    if document.get("batch"):
        return "batch", ()
    if not command.startswith(_ROLL):
        return "single", jobs_of_command(command)
    entries = jobs_of_manifest(command)
    if document.get("parent") is None:
        keys = [key for _, several in entries for key in several]
        return ("pack" if len(entries) > 1 else "single"), tuple(keys)
    given = set(_files_in(inputs))
    (own,) = [keys for files, keys in entries if files and files <= given]
    return "child", own


def _files_in(value: object) -> Iterator[str]:
    """The ids of all files in the inputs of a task."""
    if isinstance(value, dict) and value.get("class") in ("File", "Directory"):
        yield str(value["path"])
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _files_in(one)


def jobs_of_manifest(text: str) -> list[tuple[set[str], tuple[str, ...]]]:
    """The jobs that a task may run by its manifest, each with the files that only it has.

    The first line names the files, and commands stand below in the same order.
    """
    roll = json.loads(text.partition("\n")[0].removeprefix(_ROLL))
    commands = [found[2] for found in _COMMAND_OF_MANIFEST.finditer(text)]
    return [
        (set(files), jobs_of_command(command))
        for (_, _, _, _, files, *_), command in zip(roll, commands, strict=True)
    ]


def endings(witness: str) -> Counter[tuple[str, str]]:
    """How often commands came to their end, by job and task, from what they have noted."""
    lines = [line.split("\t") for line in witness.splitlines()]
    found = [(key, _TASK_OF_FOLDER.search(f"{folder}/")) for key, folder in lines]
    return Counter((key, place[1] if place else "") for key, place in found)


def _job_of_shell(line: str) -> str:
    return shlex.split(line)[1].removeprefix("job=")


def jobs_of_command(command: str) -> tuple[str, ...]:
    """The jobs that a task's command runs, as `rule:value of the wildcard`.

    A direct command says so in its first line, a script by the object that it is given, and
    Snakemake by its target jobs. The program of a group has the commands of all its jobs.
    """
    lines = command.lstrip().split("\n")
    found = [_job_of_shell(line) for line in lines if line.startswith(": job=")]
    found += [_job_of_script(line) for line in lines if line.startswith("snakemake = ")]
    if found:
        return tuple(sorted(found))
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
