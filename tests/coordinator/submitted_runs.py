"""Submits workflows to a real server, and looks after them as users do."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from snakemake_executor_cavatica.api import BadRequest, Client, NotFound, Task, Token
from snakemake_executor_cavatica.api.call import get
from tests.workflow.workflow_runs import Platform, Result, Workflow, until

TIMEOUT = 120
COMMAND = [sys.executable, "-P", "-m", "snakemake_executor_cavatica.commands.main"]
HOME = "local/snakemake-coordinator"
WORKFLOW = """\
N = range(int(config.get("jobs", 3)))

rule all:
    input: "all.txt", "seen.txt"

localrules: all, look_around

rule look_around:
    input: "all.txt"
    output: "seen.txt"
    shell: "(env; cat /proc/self/cmdline; ls -a $HOME) > {output}"

rule first:
    output: "first/{n}.txt"
    shell: "sleep 0.7; echo {wildcards.n} > {output}"

rule second:
    input: "first/{n}.txt"
    output: "second/{n}.txt"
    shell: "sleep 0.3; cat {input} > {output}"

rule join:
    input: expand("second/{n}.txt", n=N)
    output: "all.txt"
    shell: "cat {input} > {output}"
"""


def command(
    platform: Platform, *words: str, cwd: Path, environment: Mapping[str, str] = {}
) -> Result:
    """Run `snakemake-cavatica` to its end, without a traceback."""
    done = subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        env={
            **os.environ,
            "SB_API_ENDPOINT": platform.endpoint,
            "SB_AUTH_TOKEN": platform.token,
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return Result(done.returncode, done.stdout)


@dataclass(frozen=True)
class Submitted:
    """A run that was submitted, with the task that is its main process."""

    platform: Platform
    run: str
    task: str
    home: str
    elsewhere: Path
    """An empty folder, from which it is looked after."""

    def command(self, name: str, *words: str) -> Result:
        """Run a command about it from another folder, as on another machine."""
        return command(self.platform, name, *words, self.run, cwd=self.elsewhere)

    def json(self, name: str, *words: str) -> dict[str, Any]:
        """What a command tells programs."""
        told = self.command(name, "--json", *words).output
        document: dict[str, Any] = json.loads(told[told.index("{") : told.rindex("}") + 1])
        return document

    @property
    def status(self) -> str:
        """Of the task."""
        with self.platform.client() as client:
            return client.get_task(self.task).status

    @property
    def has_ended(self) -> bool:
        """Whether the task has."""
        return self.status in ("COMPLETED", "FAILED", "ABORTED")

    def wait(self) -> str:
        """Wait for its end; the status."""
        until(lambda: self.has_ended, TIMEOUT)
        return self.status


def new_workflow(folder: Path, platform: Platform) -> Workflow:
    """One whose files are on the platform."""
    directory = folder / f"workflow{len(list(folder.iterdir()))}"
    directory.mkdir()
    workflow = Workflow(directory, platform, "storage")
    # Beside it lies what is called like a module of Python's own.
    workflow.write({"Snakefile": WORKFLOW, "random.py": "raise ImportError('not this one')"})
    return workflow


def submit(workflow: Workflow, *more: str, keep: bool = True) -> Submitted:
    """Submit a workflow, and remove its folder if it is not to be kept."""
    platform, elsewhere = workflow.platform, workflow.directory.with_name("elsewhere")
    elsewhere.mkdir(exist_ok=True)
    words = ["submit", "--json", "--", *workflow.arguments(), *more]
    done = command(platform, *words, cwd=workflow.directory)
    assert done.status == 0, done.output
    if not keep:
        shutil.rmtree(workflow.directory)
    told = json.loads(done.output[done.output.rindex("{") :])
    return Submitted(platform, told["run"], told["task"], told["project"], elsewhere)


# -------------------------------------------------------------------------------- what there is


def texts_of(client: Client, project: str) -> dict[str, str]:
    """Everything of a project that its members can read, by what it is."""
    send = client.transport.send
    found = {"project": json.dumps(send(get(f"/projects/{project}")))}
    for app in client.listing.items(get("/apps", {"project": project})):
        found[f"app {app['id']}"] = json.dumps(client.get_app_raw(app["id"]))
    for task in client.list_tasks(project=project):
        path = f"/tasks/{task.id}"
        found[f"task {task.name}"] = json.dumps(send(get(path)))
        details = send(get(f"{path}/execution_details"))
        found[f"execution of {task.name}"] = json.dumps(details)
        for job in details.get("jobs", []):
            for name, url in job.get("logs", {}).items():
                log = url.split("/files/")[1].split("/")[0]
                found[f"{name} of {task.name}"] = _content(client, log)
    _add_files(client, found, "", project=project)
    return found


def _add_files(client: Client, found: dict[str, str], path: str, **place: str) -> None:
    for file in client.list_files(**place):
        name = f"{path}/{file.name}"
        if file.is_folder:
            _add_files(client, found, name, parent=file.id)
        else:
            found[name] = f"{file.metadata} {_content(client, file.id)}"


def _content(client: Client, file: str) -> str:
    with urllib.request.urlopen(client.download_url(file), timeout=30) as answer:
        content: bytes = answer.read()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                files = (archive.extractfile(one) for one in archive if one.isfile())
                content = b"\n".join(one.read() for one in files if one is not None)
    return content.decode(errors="replace")


def secrets_in(texts: Mapping[str, str], token: str) -> list[str]:
    """Where a token is, as it is or encoded."""
    secret = Token(token)
    return [name for name, text in texts.items() if secret.is_in(text.encode())]


def processes_with(token: str, *, but: int) -> list[str]:
    """What of the processes of this machine shows a token: command lines and environments."""
    found = []
    numbers = {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208 - processes come and go
    for number in numbers - {but, os.getpid()}:
        for name in ("environ", "cmdline"):
            with suppress(OSError):  # it has just ended
                content = Path(f"/proc/{number}/{name}").read_bytes()
                if token.encode() in content:
                    found.append(f"{name} of {number}: {content[:80]!r}")
    return found


def private_files(folder: Path, token: str) -> set[Path]:
    """Files below a folder that hold a token, and that only their owner can read."""
    found = set()
    for place, _, names in os.walk(folder):  # which does not mind what goes meanwhile
        for path in (Path(place, name) for name in names):
            with suppress(OSError):
                is_private = stat.S_IMODE(path.stat().st_mode) == 0o600
                if is_private and path.read_bytes() == token.encode():
                    found.add(path)
    return found


# ----------------------------------------------------------------------------- how it may go on


def tasks_of(platform: Platform) -> list[Task]:
    """Of the project that jobs run in."""
    with platform.client() as client:
        return list(client.list_tasks(project=platform.project))


def coordinators(platform: Platform) -> list[Task]:
    """All there have been; the project for them is made when it is first needed."""
    with platform.client() as client, suppress(NotFound):
        return list(client.list_tasks(project=HOME))
    return []


def troubles(platform: Platform) -> list[str]:
    """Jobs that ran twice at a time, or were completed twice, by the platform's record."""
    tasks = {task.id: task for task in tasks_of(platform)}
    completed: defaultdict[str, int] = defaultdict(int)
    for task in tasks.values():
        completed[task.name] += task.status == "COMPLETED"
    found = [
        f"{name} was completed {times} times" for name, times in completed.items() if times > 1
    ]
    spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in platform.executions():
        ended = tasks.get(one["task"])
        if ended is not None:
            by_task = ended.end_time.timestamp() if ended.end_time else time.time()
            spans[ended.name].append((one["start"], one["end"] or by_task))
    for name, times in spans.items():
        times.sort()
        found += [
            f"{name} ran twice at a time"
            for before, after in pairwise(times)
            if after[0] < before[1] - 1  # the platform tells whole seconds
        ]
    return found


def live_tasks(platform: Platform) -> list[str]:
    """Tasks in any project of the user that may go on."""
    with platform.client() as client:
        jobs = list(client.list_tasks(project=platform.project))
    tasks = [*jobs, *coordinators(platform)]
    return [f"{task.name} {task.status}" for task in tasks if not task.is_terminal]


def kill(submitted: Submitted, way: str, again: Callable[[], None]) -> None:
    """End a coordinator from outside: its task aborted, its instance taken, or the platform."""
    platform = submitted.platform
    if way == "abort":
        with platform.client() as client, suppress(BadRequest):  # it has ended
            client.abort_task(submitted.task)
    elif way == "instance":
        platform.control("interrupt", {"task": submitted.task})
    else:
        again()


WAYS = ("abort", "instance", "platform")


def moment(seed: int, longest: float) -> tuple[float, str]:
    """Seconds, and a way, by chance."""
    dice = random.Random(seed)
    return dice.uniform(0.0, longest), WAYS[seed % len(WAYS)]
