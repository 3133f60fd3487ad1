"""Conda environments: made by a task of their own, once, and handed to the jobs as a file.

An environment cannot be moved: its files hold its path. So it is made, and unpacked for each job,
at one path that no task has for itself otherwise. The file is kept on the platform under a name
that stands for all that it is made from, and later runs find it there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from ..api import ApiError, CavaticaError, FileRef, TaskStatus
from ..finish.failure import diagnose
from ..finish.stderr import stderr_file
from ..finish.wording import RUNS_HERE
from ..plan.decide import plan_job
from ..plan.plan import JobPlan, Mode, StagedInput
from ..project.connection import Connection
from ..project.paths import Place, ProjectPath
from ..read.digest import digest
from ..read.facts import CondaFile, Defaults, JobFacts, WorkflowFile
from ..run.earlier_runs import Orphan
from ..run.register import Register, Submission
from ..run.takeover import Takeover
from ..run.unanswered import Unanswered
from ..translate.job_key import JobKey, TaskMark
from ..watch.outcome import Completed, Failed, Lost, Pending, outcome
from .submit import Submitter

FOLDER = "environments"
"""Of the plugin's own folder."""
PREFIX = "/tmp/snakemake-conda"  # noqa: S108 - the one place that can be written in every image
"""Where environments live in the tasks, each set of them in a folder of its own."""
COMPLETE = "complete"
"""Lies in the folder of a set once all of it is there."""

_PORT = "snakemake_conda"
_RULE = "conda-environment"
_AT_A_TIME = 16
_TROUBLE = "its conda environment could not be made."
_JOB = digest(_RULE)[:16]


class EnvironmentTrouble(CavaticaError):
    """A conda environment could not be made."""


# --------------------------------------------------------------------------------- translation


def with_environment(plan: JobPlan, home: ProjectPath) -> JobPlan:
    """The plan of a job with what it needs of conda, as an input; `home` is the plugin's folder."""
    if plan.mode is not Mode.SNAKEMAKE or not plan.facts.conda:
        return plan
    key = _key(plan)
    path = f"{PREFIX}/{key}"
    staged = StagedInput(_PORT, home / FOLDER / f"{key}.tar", path, "file", "environment")
    return replace(
        plan,
        command=f"{plan.command} --conda-prefix {quote(path)}",
        inputs=(*plan.inputs, staged),
    )


def _key(plan: JobPlan) -> str:
    """Stands for all that decides what is in the environments of a job."""
    files = [dict(file.texts) for file in plan.facts.conda]
    return digest([files, plan.image, plan.precommand, dict(plan.environment)])[:32]


def environment_plan(plan: JobPlan, staged: StagedInput, defaults: Defaults) -> JobPlan:
    """How the task runs that makes the environments of a job.

    On demand: many jobs may wait for it.
    """
    files = plan.facts.conda
    facts = JobFacts(
        rule=_RULE,
        jobid="environment",
        attempt=1,
        directive="shell",
        snakemake_command="",
        wildcards={"file": " ".join(file.name for file in files)},
        docstring="Makes conda environments for the jobs of a Snakemake workflow.",
        command=_command(files, staged.path, _no_conda(plan)),
        container=plan.image,
        outputs=[
            WorkflowFile(
                "environment.tar", "environment.tar", staged.place, name="environment", form="file"
            )
        ],
    )
    own = replace(
        defaults, mode="direct", interruptible=False, output_metadata=None, batch="off", pack=1
    )
    return plan_job(facts, own)


def _no_conda(plan: JobPlan) -> str:
    """What to say where conda is missing."""
    if not plan.in_container:
        return f"This machine has no conda. {RUNS_HERE} Install conda beside Snakemake."
    return (
        f"The image {plan.image} has no conda. Name one that has conda and Snakemake with "
        "--container-image or cavatica_container_image."
    )


def _command(files: tuple[CondaFile, ...], path: str, no_conda: str) -> str:
    """Has Snakemake make the environments, by its own code, and packs them.

    Their names hold neither the workflow's path nor that of the files, so that Snakemake finds them
    when it runs a job.
    """
    numbers = range(len(files))
    snakefile = [f"rule all:\n    input: {[str(number) for number in numbers]}\n"]
    lines = [
        f"command -v conda > /dev/null || {{ echo {quote(no_conda)} >&2; exit 1; }}",
        "mkdir conda && cd conda",
    ]
    for number, file in enumerate(files):
        snakefile.append(
            f"rule environment_{number}:\n    output: '{number}'\n"
            f"    conda: 'environment{number}.yaml'\n    shell: 'true'\n"
        )
        for suffix, text in file.texts.items():
            lines.append(f"printf %s {quote(text)} > environment{number}{suffix}")
    return "\n".join(
        [
            *lines,
            f"printf %s {quote(''.join(snakefile))} > Snakefile",
            f"mkdir -p {path}",
            "python -m snakemake --cores 1 --software-deployment-method conda "
            f"--conda-prefix {path} --conda-create-envs-only",
            f": > {path}/{COMPLETE}",
            f"tar -cf ../environment.tar -C {path} .",
        ]
    )


# ------------------------------------------------------------------------------ making them


@dataclass(frozen=True)
class Workshop:
    """What the tasks of environments are made and watched with."""

    connection: Connection
    run_id: str
    submitter: Submitter
    takeover: Takeover
    register: Register
    cancelled: threading.Event
    sources: Callable[[], FileRef]
    page: Callable[[str], str]
    """The address of a task by its id."""
    give_up: Callable[[Orphan], str]
    """Stops a task; what to say if that cannot be done."""
    interval: Callable[[], float]
    """Seconds between two looks at a task."""
    logger: Any


class Environments:
    """The conda environments of a run. Safe to use from several threads."""

    def __init__(self, workshop: Workshop, home: ProjectPath, defaults: Defaults) -> None:
        self._shop = workshop
        self._home = home
        self._defaults = defaults
        self._index = workshop.connection.index(home.project)
        self._lock = threading.Lock()
        self._making: dict[Place, Future[None]] = {}
        self._makers = ThreadPoolExecutor(_AT_A_TIME, "cavatica-conda")

    def added_to(self, plan: JobPlan) -> JobPlan:
        """The plan of a job with its environments, unless its task is to make them itself."""
        return with_environment(plan, self._home) if self._defaults.conda == "per-run" else plan

    def are_ready(self, submission: Submission, then: Callable[[], None]) -> bool:
        """Whether the environments of a job are on the platform.

        If not, they are being made, and `then` is called once, when that has ended; ask again then.

        Raises:
            EnvironmentTrouble: they could not be made.
        """
        if submission.environment is not None:
            submission.environment.result()
            return True
        staged = next((one for one in submission.plan.inputs if one.port == _PORT), None)
        if staged is None:
            return True
        place = staged.place
        with self._lock:
            future = self._making.get(place)
            if future is None:
                if self._index.find(place.path) is not None:
                    return True
                future = self._makers.submit(self._make, submission.plan, staged)
                self._making[place] = future
                # Those that wait hear of a failure; the next attempt of a job tries once more.
                future.add_done_callback(lambda _: self._making.pop(place, None))
        submission.environment = future
        future.add_done_callback(lambda _: then())
        return False

    def close(self) -> None:
        """Wait until nothing is being made any more."""
        self._makers.shutdown(wait=True, cancel_futures=True)

    def _make(self, job: JobPlan, staged: StagedInput) -> None:
        """Have the file at its place on the platform."""
        shop = self._shop
        plan = environment_plan(job, staged, self._defaults)
        orphan = self._task(plan, staged)
        task, mark = orphan.task, orphan.mark
        making = Submission(None, planned=plan, name=plan.title, run=mark.run, mark=mark, task=task)
        making.unanswered = Unanswered(local=shop.connection.is_local)
        if not shop.register.enter(making):
            shop.takeover.orphans.add(orphan)
            raise EnvironmentTrouble("the run is being cancelled")
        try:
            if task.status == TaskStatus.DRAFT:
                shop.submitter.run(task)
            shop.logger.info(f"{plan.title} is task {shop.page(task.id)}; jobs wait for it.")
            result = self._wait(making)
            if isinstance(result, Completed):
                ref = result.outputs[plan.outputs[0].port]
                self._index.add(staged.place.path, shop.connection.client.get_file(ref.path))
                shop.takeover.reported(task.id)
        except CavaticaError as error:
            if shop.cancelled.is_set():  # which stops all that is in the register
                raise
            shop.register.leave(making)
            raise EnvironmentTrouble(f"{_TROUBLE} {error}{shop.give_up(making.orphan)}") from error
        shop.register.leave(making)
        if not isinstance(result, Completed):
            raise EnvironmentTrouble(f"{_TROUBLE} {self._reason(making, result)}")

    def _reason(self, making: Submission, failure: Failed | Lost) -> str:
        """Why a task has failed, with its address and the end of its stderr."""
        task_id = making.task_id or ""
        return diagnose(
            self._shop.connection.client,
            making.plan,
            task_id,
            self._shop.page(task_id),
            failure,
            log_paths=[],
            stderr_path=stderr_file(task_id),
        ).message

    def _task(self, plan: JobPlan, staged: StagedInput) -> Orphan:
        """A new task, or that of an earlier run which was killed."""
        shop = self._shop
        shop.takeover.open_journal()
        shop.takeover.confirm()
        key = JobKey(_JOB, digest(str(staged.place))[:32])
        orphan = shop.takeover.orphans.claim(key)
        if orphan is not None:
            return orphan
        mark = TaskMark(shop.run_id, plan.facts.jobid, plan.facts.attempt, key)
        draft = shop.submitter.draft(plan, plan.title, mark, shop.sources(), {})
        return Orphan(shop.submitter.create(draft), mark)

    def _wait(self, making: Submission) -> Completed | Failed | Lost:
        """How the task ends.

        Raises:
            CavaticaError: the run is cancelled, or the platform says nothing for too long.
        """
        task_id = making.task_id or ""
        while not self._shop.cancelled.wait(self._shop.interval()):
            try:
                answer = self._shop.connection.watcher.get_tasks([task_id])[task_id]
                result = outcome(answer, making.plan)
            except ApiError as error:
                result = Pending("", error=error)
            if not isinstance(result, Pending):
                return result
            if result.error is None:
                making.unanswered.ends()
            elif not making.unanswered.begins() and making.unanswered.is_too_long:
                raise result.error
        raise EnvironmentTrouble("the run is being cancelled")
