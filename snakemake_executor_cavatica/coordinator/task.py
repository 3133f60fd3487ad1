"""A coordinator as the platform knows it: its app, its task, and how it is found again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from ..api import Client, ExecutionSettings, FileRef, Task, TaskDraft, TaskStatus
from ..in_task import texts
from ..launch.submit import Apps, Submitter
from ..project.paths import ProjectPath
from ..run.run_id import began_at, is_called
from .home import Home

APP = "snakemake-coordinator"
_MARK = re.compile(
    r"Snakemake coordinator of the run (\S+), project (\S+), folder (\S+), scope ([0-9a-f]+): (.*)"
)
_SCRIPT = "coordinator.py"
_FIELDS = (
    "id,name,description,status,created_time,start_time,end_time,price,execution_status,"
    "use_interruptible_instances,app,errors"
)
MOST = 1000
"""Tasks that are looked at: ten listings."""
_CLOCKS_AGREE = timedelta(hours=1)
_LONGEST_NAME = 200
_MEMORY_MIB = 3000
_INSTANCE = "m5.large;ebs-gp2;100"
"""Small, with memory for a workflow of many jobs. The default disk would cost more than it does."""


def scope_of(prefix: str) -> str:
    """What identifies the files below a storage prefix."""
    return hashlib.sha256(prefix.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Coordinator:
    """A coordinator's task, and what it is for."""

    run: str
    project: str
    """Of the jobs."""
    folder: str
    """The plugin's there."""
    scope: str
    prefix: str
    """Of the storage that it works on; `scope` identifies it."""
    task: Task

    @property
    def has_ended(self) -> bool:
        """Whether it does nothing any more; a draft never will."""
        return self.task.is_terminal or self.task.status == TaskStatus.DRAFT


def coordinator_of(task: Task) -> Coordinator | None:
    """By its description; None if the task is no coordinator."""
    match = _MARK.match(task.description)
    if match is None:
        return None
    run, project, folder, scope, prefix = match.groups()
    return Coordinator(run, project, folder, scope, prefix, task)


def find_coordinator(client: Client, project: str, run: str) -> Coordinator | None:
    """The coordinator of a run, by its id or the end of it; None if there is none."""
    began = began_at(run)
    listed = client.list_tasks(
        project=project,
        created_from=None if began is None else began - _CLOCKS_AGREE,
        created_to=None if began is None else began + _CLOCKS_AGREE,
        order="desc",
        fields=_FIELDS,
    )
    for one in map(coordinator_of, listed):
        if one is not None and is_called(one.run, run):
            return one
    return None


def coordinators(client: Client, project: str) -> Iterator[Coordinator]:
    """Those among the newest tasks of the project, the newest first."""
    listed = client.list_tasks(project=project, order="desc", fields=_FIELDS)
    for task in islice(listed, MOST):
        one = coordinator_of(task)
        if one is not None:
            yield one


def document(image: str) -> dict[str, Any]:
    """The app. That it waits for other tasks, an embedded platform has to know."""
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "$namespaces": {
            "sbg": "https://sevenbridges.com",
            "cavatica": "https://github.com/cavatica-snakemake/",
        },
        "label": "Snakemake coordinator",
        "doc": "The main process of a Snakemake workflow, which starts the workflow's tasks.",
        "requirements": [
            {"class": "DockerRequirement", "dockerPull": image},
            {
                "class": "InitialWorkDirRequirement",
                "listing": [{"entryname": _SCRIPT, "entry": "$(inputs.start)"}],
            },
            {"class": "ResourceRequirement", "coresMin": 1, "ramMin": _MEMORY_MIB},
        ],
        "hints": [
            {"class": "NetworkAccess", "networkAccess": True},
            {"class": "cavatica:MostlyWaits"},
        ],
        "baseCommand": ["python", _SCRIPT],
        "inputs": [
            {"id": "start", "type": "string", "doc": "Starts the coordinator."},
            {"id": "bundle", "type": "File", "inputBinding": {"position": 1}},
            {"id": "token", "type": "File", "inputBinding": {"position": 2}},
        ],
        "outputs": [],
    }


@dataclass(frozen=True)
class Errand:
    """What a coordinator is for, as its description tells it."""

    run: str
    project: str
    folder: str
    prefix: str

    @property
    def description(self) -> str:
        """Unique, since the run is."""
        return (
            f"Snakemake coordinator of the run {self.run}, project {self.project}, "
            f"folder {self.folder}, scope {scope_of(self.prefix)}: {self.prefix}"
        )


@dataclass(frozen=True)
class Machine:
    """What a coordinator runs on; `instance_type` empty for what fits a small one."""

    image: str
    instance_type: str | None
    location: str

    @property
    def settings(self) -> ExecutionSettings | None:
        """Types have other names in other clouds, where the platform chooses."""
        is_aws = self.location.startswith("aws") or not self.location
        chosen = self.instance_type or (_INSTANCE if is_aws else None)
        return ExecutionSettings(instance_type=chosen) if chosen else None


def start_coordinator(
    client: Client, home: Home, machine: Machine, errand: Errand, *, bundle: str, token: str
) -> Task:
    """Start the task, once; `bundle` and `token` are ids of files.

    Raises:
        CavaticaError: the platform refuses it, or does not answer at all.
    """
    submitter = Submitter(client, errand.run, ProjectPath(home.project, "runs"))
    draft = TaskDraft(
        project=home.project,
        app=Apps(client, home.project).ensure_document(APP, document(machine.image)),
        name=f"Snakemake coordinator of {errand.prefix}"[:_LONGEST_NAME],
        description=errand.description,
        inputs={
            "start": texts.content("coordinator_start.py").decode(),
            "bundle": FileRef(bundle),
            "token": FileRef(token),
        },
        execution_settings=machine.settings,
        use_interruptible_instances=False,
    )
    return submitter.run(submitter.create(draft))
