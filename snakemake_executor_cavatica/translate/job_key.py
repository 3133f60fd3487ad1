"""How a task says which job it is, so that any later process recognises it. Pure.

Every task carries a mark in its description: run, job, attempt, and a key that is the same whenever
the same job is planned again, by whatever process on whatever machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from pydantic import TypeAdapter

from ..api.models import Task, iter_files
from ..plan.files import CHECKPOINTS_PORT
from ..plan.plan import JobPlan, PlannedOutput
from ..project.paths import LocalPath, Place
from ..read.digest import digest
from .app import COMMAND, app_document, document_hash
from .command import text_of_job
from .script import job_script
from .staging import input_order

_TASK_MARK = re.compile(
    r"Snakemake run ([^\s,]+), job ([^\s,]+), attempt (\d+), key ([0-9a-f]{16})-([0-9a-f]{32})"
    r"(?:, reuse ([0-9a-f]{32}))?"
)
_JOB_LIST = "# Jobs: "
_ENTRIES = TypeAdapter(list[tuple[str, str, int, str, frozenset[str], dict[str, str], str]])
_RUN = re.compile(r"Snakemake run ([^\s,]+), jobs? ")
_JOBS = re.compile(r"Snakemake run [^\s,]+, jobs ([^:]+): ")


@dataclass(frozen=True)
class JobKey:
    """What makes two tasks the same job. The attempt is no part of it: the result is the same."""

    job: str
    """Which job of the workflow: rule and wildcards."""
    content: str
    """All that its result depends on: inputs by content, command or code, image, resources."""

    def __str__(self) -> str:
        return f"{self.job}-{self.content}"


@dataclass(frozen=True)
class TaskMark:
    """What a task's description says of its job."""

    run: str
    jobid: str
    attempt: int
    key: JobKey
    reuse: str = ""
    """What the results of jobs have in common that are the same; see `reuse_key`. Empty if they are
    for nobody else."""

    def __str__(self) -> str:
        mark = f"Snakemake run {self.run}, job {self.jobid}, attempt {self.attempt}, key {self.key}"
        return f"{mark}, reuse {self.reuse}" if self.reuse else mark


@dataclass(frozen=True)
class Listed:
    """One of the jobs that a task, or its children, are made for."""

    mark: TaskMark
    files: frozenset[str] = frozenset()
    """Ids of the inputs that it has for itself, in a batch."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Stored names of its outputs by port, in a pack."""


def job_key(
    plan: JobPlan, *, job: str, code: str, sources: str, contents: Mapping[Place, str]
) -> JobKey:
    """The key of a planned job.

    Args:
        job: rule and wildcards, hashed.
        code: what Snakemake runs for the job where the command does not tell.
        sources: the files that it may use, hashed.
        contents: what stands for the content of each input, wherever it lies.
    """
    # For input functions in the task; they grow with every checkpoint of a run.
    plan = replace(
        plan, inputs=tuple(one for one in plan.inputs if not one.port.startswith(CHECKPOINTS_PORT))
    )
    # What is told of a job beside its result makes no other job of it, nor how files travel.
    plan = replace(plan, measured=False, parcel_up_to=0)
    # Whether its instance may be taken away makes no other job of it: a lost one starts anew. Nor
    # does the disk that was enough.
    settings = {**asdict(plan.settings), "interruptible": None}
    del settings["instance_by_use"]
    content = {
        "app": document_hash(app_document(plan)),
        "script": job_script(plan),
        "code": text_of_job(plan, code),
        "sources": sources,
        "inputs": [(one.port, one.path, contents[one.place]) for one in input_order(plan)],
        "outputs": [(one.port, _target(one)) for _, one in plan.collected],
        "resources": asdict(plan.resources),
        "settings": settings,
    }
    return JobKey(job, digest(content)[:32])


def _target(output: PlannedOutput) -> str:
    """Where an output goes, told without the path of the working directory on this machine."""
    return output.path if isinstance(output.place, LocalPath) else str(output.place)


def task_mark_of(task: Task) -> TaskMark | None:
    """The mark of a task; None if no run of this plugin made it, or one that left no key."""
    match = _TASK_MARK.match(task.description)
    if match is None:
        return None
    run, jobid, attempt, job, content, reuse = match.groups()
    return TaskMark(run, jobid, int(attempt), JobKey(job, content), reuse or "")


def several(run: str, marks: Iterable[TaskMark]) -> str:
    """What the task of several jobs says of them."""
    return f"Snakemake run {run}, jobs {', '.join(mark.jobid for mark in marks)}"


def job_list_line(jobs: Iterable[Listed]) -> str:
    """The line of a manifest that says which jobs it is about."""
    entries = [
        [
            one.mark.run,
            one.mark.jobid,
            one.mark.attempt,
            str(one.mark.key),
            sorted(one.files),
            dict(one.outputs),
            one.mark.reuse,
        ]
        for one in jobs
    ]
    return f"{_JOB_LIST}{json.dumps(entries)}"


def read_job_list(task: Task) -> list[Listed]:
    """The jobs that a task is made for by its manifest; empty if it has none that can be read."""
    first = str(task.inputs.get(COMMAND) or "").partition("\n")[0]
    if not first.startswith(_JOB_LIST):
        return []
    try:
        entries = _ENTRIES.validate_python(json.loads(first.removeprefix(_JOB_LIST)))
        return [
            Listed(TaskMark(run, jobid, attempt, JobKey(*key.split("-")), reuse), files, outputs)
            for run, jobid, attempt, key, files, outputs, reuse in entries
        ]
    except (ValueError, TypeError, RecursionError):
        return []


def listed_of(child: Task, job_list: Iterable[Listed]) -> Listed | None:
    """The job that a child of a batch does: the one whose own inputs it has, and all of them."""
    files = {ref.path for ref in iter_files(child.inputs)}
    found = [one for one in job_list if one.files and one.files <= files]
    return found[0] if len(found) == 1 else None


def run_of(task: Task) -> str | None:
    """The run that a task belongs to; None if it is no task of the plugin."""
    match = _RUN.match(task.description)
    return match[1] if match else None


def told_scope(scope: str) -> str:
    """How a task ends its description: by what only one run at a time may work on."""
    return f" Scope {digest(scope)[:16]}."


def has_scope(task: Task, scope: str) -> bool:
    """Whether a task says that its run works on this."""
    return task.description.endswith(told_scope(scope))


def number_of_jobs(task: Task) -> int:
    """How many jobs a task was made for, by its description."""
    match = _JOBS.match(task.description)
    return len(match[1].split(", ")) if match else 1
