"""Conda environments: made by a task of their own, once, and handed to the jobs as a file.

An environment cannot be moved: its files hold its path. So it is made, and unpacked for each job,
at one path that no task has for itself otherwise. The file is kept on the platform under a name
that stands for all that it is made from, and later runs find it there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from shlex import quote

from ..api import CavaticaError, FileRef, TaskStatus
from ..plan.decide import plan_job
from ..plan.plan import RUNS_HERE, JobPlan, Mode, StagedInput
from ..project.paths import Place, ProjectPath
from ..read.digest import digest
from ..read.facts import CondaFile, Defaults, JobFacts, WorkflowFile
from ..run.context import RunContext
from ..run.failing import JobFailed
from ..run.leftovers import Leftover
from ..run.register import Submission
from ..run.stopping import Stopper
from ..run.unanswered import Unanswered
from ..translate.job_key import JobKey, TaskMark
from .stage import InputStager
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


class Environments:
    """The conda environments of a run. Safe to use from several threads."""

    def __init__(
        self,
        run: RunContext,
        stager: InputStager,
        submitter: Submitter,
        stopper: Stopper,
        defaults: Defaults,
    ) -> None:
        self._run = run
        self._stager = stager
        self._submitter = submitter
        self._stopper = stopper
        self._defaults = defaults
        self._lock = threading.Lock()
        self._making: dict[Place, Future[None]] = {}
        self._awaited: set[Future[FileRef]] = set()
        self._makers = ThreadPoolExecutor(_AT_A_TIME, "cavatica-conda")

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
                if self._run.index.find(place.path) is not None:
                    return True
                future = self._makers.submit(self._make, submission, staged)
                self._making[place] = future
                # Those that wait hear of a failure; the next attempt of a job tries once more.
                future.add_done_callback(lambda _: self._making.pop(place, None))
        submission.environment = future
        future.add_done_callback(lambda _: then())
        return False

    def close(self) -> None:
        """Wait until nothing is being made any more; the tasks have been aborted."""
        with self._lock:
            awaited = list(self._awaited)
        for future in awaited:
            future.cancel()
        self._makers.shutdown(wait=True, cancel_futures=True)

    def _make(self, waiting: Submission, staged: StagedInput) -> None:
        """Have the file at its place on the platform."""
        run = self._run
        plan = environment_plan(waiting.plan, staged, self._defaults)
        leftover = self._task(plan, staged)
        task, mark = leftover.task, leftover.mark
        making = Submission(None, planned=plan, name=plan.title, run=mark.run, mark=mark, task=task)
        making.own = Future()
        making.unanswered = Unanswered(local=run.connection.is_local)
        if not run.register.enter(making):
            run.takeover.leftovers.add(leftover)
            raise EnvironmentTrouble("the run is being cancelled")
        run.observer.entered(making)
        try:
            if task.status == TaskStatus.DRAFT:
                making.task = self._submitter.run(task)
            run.logger.info(f"{plan.title} is task {run.page(task.id)}; jobs wait for it.")
            made = self._wait(making.own)
            run.index.add(staged.place.path, run.connection.client.get_file(made.path))
            run.takeover.reported(task.id)
        except JobFailed as error:
            raise EnvironmentTrouble(f"{_TROUBLE} {error}") from error
        except CavaticaError as error:
            if run.cancelled.is_set():  # which stops all that is in the register
                raise
            run.register.leave(making)
            trouble = self._stopper.give_up(making.leftover)
            run.observer.failed(making, f"{error}{trouble}")
            raise EnvironmentTrouble(f"{_TROUBLE} {error}{trouble}") from error

    def _wait(self, made: Future[FileRef]) -> FileRef:
        """What the task makes; it is looked at like those of all jobs.

        Raises:
            JobFailed: it fails, and is over.
            EnvironmentTrouble: the run is cancelled.
        """
        with self._lock:
            self._awaited.add(made)
        if self._run.cancelled.is_set():
            made.cancel()
        try:
            return made.result()
        except CancelledError:
            raise EnvironmentTrouble("the run is being cancelled") from None
        finally:
            with self._lock:
                self._awaited.discard(made)

    def _task(self, plan: JobPlan, staged: StagedInput) -> Leftover:
        """A new task, or that of an earlier run which was killed."""
        takeover = self._run.takeover
        takeover.open_journal()
        takeover.confirm()
        key = JobKey(_JOB, digest(str(staged.place))[:32])
        leftover = takeover.leftovers.claim(key)
        if leftover is not None:
            return leftover
        mark = TaskMark(self._run.id, plan.facts.jobid, plan.facts.attempt, key)
        sources = self._stager.provide_sources()
        draft = self._submitter.draft(plan, plan.title, mark, sources, {})
        return Leftover(self._submitter.create(draft), mark)
