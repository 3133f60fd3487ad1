"""Wires Snakemake's executor interface to the plugin: a job in, a report out, nothing decided here.

Submission and collection run in threads of their own, because Snakemake calls `run_jobs` on the
thread that also handles finished jobs and Ctrl-C. An error never leaves them: it is reported for
the job that it belongs to, so that `--retries` and `--keep-going` work.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from . import plugins
from .api import ApiError, CavaticaError, File, Task, TaskStatus
from .connections import CONNECTIONS
from .finish.between_workflow_cache import BetweenWorkflowCache
from .finish.collect import Collector
from .finish.complete import Completion
from .finish.evidence import Finding, Reason
from .finish.failure import diagnose
from .finish.old_versions import OldVersions
from .finish.report import Reports
from .finish.side_files import SideFiles
from .finish.stderr import stderr_file
from .finish.wording import RUNS_HERE
from .launch.environments import Environments, Workshop
from .launch.gather import Gatherer
from .launch.launcher import Launcher
from .launch.other_storages import OtherStorages
from .launch.stage import InputStager
from .launch.submit import Submitter
from .plan.decide import plan_job
from .plan.files import links_for_size
from .plan.plan import JobPlan, Mode
from .project.fetch_store import INCOMING
from .project.local_record import LOCAL_RECORD, LocalRecord
from .project.paths import ProjectPath
from .read.defaults import read_defaults
from .read.facts import MB
from .read.internals import RuleException
from .read.job import JobReader, clear_outputs, may_be_incomplete, members_of, updated_outputs
from .read.prepared_script import keep_copy
from .read.workflow import lasting_sources, settle_options, workflow_sources
from .run.earlier_runs import earlier_runs
from .run.journal import State
from .run.locks import note_lock
from .run.register import Register, Submission
from .run.signals import ended_by_signals, interrupt_at_hangup, second_signal
from .run.stopping import Stopper, abort_patience
from .run.takeover import Takeover
from .run.unanswered import Unanswered
from .settings import ExecutorSettings
from .translate.shared_task import SharedTask, is_packed_job, task_id_of
from .watch.batches import Batches
from .watch.outcome import Completed, Failed, Lost, Outcome, Pending, outcome
from .watch.schedule import SHORTEST_INTERVAL, PollSchedule

_SUBMIT_THREADS = 16
_TOGETHER = 25
"""Jobs that are planned before the first of them is submitted, at most."""
_COLLECT_THREADS = 4
_DEFAULT_JOBNAME = "snakejob.{"
_WATCHED = (
    "id,name,description,status,created_time,start_time,end_time,parent,execution_status,errors,"
    "outputs,use_interruptible_instances"
)
"""Fields of a task that are looked at: not its inputs, with the script that we have sent."""


class Executor(plugins.Executor):
    """Runs jobs as CAVATICA tasks."""

    # The interface declares less than Snakemake passes on.
    workflow: Any
    logger: Any

    _poll_interval: float = SHORTEST_INTERVAL
    """Seconds. Set here, because the base class starts to poll before __post_init__ has run."""

    # ------------------------------------------------------------------------- start and end

    def __post_init__(self) -> None:
        self._submitters = ThreadPoolExecutor(_SUBMIT_THREADS, "cavatica-submit")
        self._collectors = ThreadPoolExecutor(_COLLECT_THREADS, "cavatica-collect")
        self._register = Register()
        self._reports = Reports(self.report_job_success)
        self._cancelled = threading.Event()
        self._is_detached = False
        self._is_image_told = False
        self._last_trouble = ""
        self._needed: set[str] = set()
        """Jobs of this run that earlier ones may have left tasks of."""
        self._collected: dict[Any, Submission] = {}
        """By job: what was reported as finished, but is not yet finished for Snakemake."""
        self._linking: set[str] = set()
        """Rules that were said to have links as inputs because of their size."""
        try:
            with ended_by_signals("the run was prepared, before any task was started"):
                self._connect()
                self._follow_earlier_runs()
            interrupt_at_hangup()
        except CavaticaError as error:
            raise WorkflowError(str(error)) from error
        except sqlite3.Error as error:
            raise WorkflowError(
                f"The plugin's record of uploaded files, {LOCAL_RECORD}, cannot be used ({error}). "
                "Remove it; the inputs are then uploaded once more."
            ) from error

    def _connect(self) -> None:
        """See that the run can work at all, before anything is made for it."""
        settle_options(self.workflow)
        settings = self.workflow.executor_settings or ExecutorSettings()
        connection = CONNECTIONS.connect(settings.api_endpoint, settings.credentials_profile)
        project = CONNECTIONS.wanted_project(
            connection, self.workflow.storage_settings.default_storage_prefix
        )
        connection.check_permissions(project)
        self._run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        self._connection = connection
        connection.has_begun = True
        self._index = connection.index(project)
        self._index.deletions.deferred = True
        self._is_detached = settings.detach and connection.local is None
        self._defaults = read_defaults(
            self.workflow,
            settings.defaults,
            connection,
            project,
            secrets_allowed=settings.allow_secret_envvars,
        )
        self._schedule = PollSchedule(
            self.workflow.remote_execution_settings.seconds_between_status_checks,
            connection.client.budget.pace,
            unlimited=connection.has_no_rate_limit,
        )
        self._equip(ProjectPath(project, settings.folder), settings)
        self._greet(settings)

    def _equip(self, home: ProjectPath, settings: ExecutorSettings) -> None:
        """Make what takes the steps of each job; `home` is the plugin's own folder."""
        connection, project = self._connection, self._index.project
        self._local_record = LocalRecord(f"{connection.identity} {project}")
        self._stager = InputStager(connection, home, self._local_record)
        self._submitter = Submitter(connection.client, self._run_id, home / "runs" / self._run_id)
        self._collector = Collector(connection, self._stager)
        self._cache = BetweenWorkflowCache(self.workflow)
        self._old_versions = OldVersions(self.workflow.persistence, connection)
        self._takeover = Takeover(
            connection,
            earlier_runs(connection, home),
            home,
            self._run_id,
            self._local_record,
            on_successor=self._give_way,
        )
        self._index.deletions.may_delete = self._takeover.is_on_record
        self._stopper = Stopper(
            connection.watcher,
            self._register,
            self._takeover,
            page=self._page,
            costs=connection.costs,
            timeout=abort_patience(local=connection.is_local),
            logger=self.logger,
        )
        self._environments = Environments(self._workshop(), home, self._defaults)
        self._sources = workflow_sources(self.workflow, settings.patterns)
        self._sources.check_size(settings.sources_max_mb * MB)
        self._sources_digest = self._sources.digest(lasting_sources(self.workflow, self._sources))
        self._other_storages = OtherStorages(self.workflow)
        self._reader = JobReader(
            self.workflow,
            connection,
            workdir=self._sources.workdir,
            known_folder=self._stager.known_folder,
            place_in_other_storage=self._other_storages.place_of,
        )
        self._launcher = Launcher(
            connection,
            self._index,
            stage=self._stager,
            submitter=self._submitter,
            takeover=self._takeover,
            register=self._register,
            stopper=self._stopper,
            sources=self._sources,
            sources_digest=self._sources_digest,
            run_id=self._run_id,
            announce=self._announce,
            page=self._page,
            is_done=self._is_cached,
            fetch=self._other_storages.fetch,
            logger=self.logger,
        )
        self._completion = Completion(
            self.workflow,
            connection,
            reader=self._reader,
            collector=self._collector,
            other_storages=self._other_storages,
            cache=self._cache,
            old_versions=self._old_versions,
            takeover=self._takeover,
            cancelled=self._cancelled,
            logger=self.logger,
        )
        self._side_files = SideFiles(connection.client, self._page)
        self._batches = Batches(connection.watcher)
        self._gatherer = Gatherer(self._launcher, self._submitters, self._guard)

    def _workshop(self) -> Workshop:
        """With what conda environments are made."""
        return Workshop(
            connection=self._connection,
            run_id=self._run_id,
            submitter=self._submitter,
            takeover=self._takeover,
            register=self._register,
            cancelled=self._cancelled,
            sources=lambda: self._stager.provide_sources(self._sources),
            page=self._page,
            give_up=self._stopper.give_up,
            interval=lambda: self._poll_interval,
            logger=self.logger,
        )

    def _greet(self, settings: ExecutorSettings) -> None:
        """Say where the run works, and what of it has no effect."""
        connection = self._connection
        if settings.detach and not self._is_detached:
            self.logger.warning(
                "--cavatica-detach has no effect with --cavatica-api-endpoint local: that platform "
                "ends with this run, and its tasks with it."
            )
        if self._cache.is_out_of_reach:
            self.logger.warning(
                "--cache has no effect in storage mode: outputs do not come to this machine. "
                "Within the platform, --cavatica-use-memoization reuses earlier results."
            )
        self.logger.info(
            f"CAVATICA: project {self._index.project} on {connection.client.endpoint}, run "
            f"{self._run_id}, token from {connection.source}; {len(self._sources.files)} files "
            f"({self._sources.size / 1e6:.1f} MB) belong to the workflow itself."
        )

    def _follow_earlier_runs(self) -> None:
        """See what runs that ended without an end have left of these jobs."""
        storage = self.workflow.storage_settings
        if storage.default_storage_provider == "cavatica" and storage.default_storage_prefix:
            scope = ProjectPath.parse(storage.default_storage_prefix).query
        else:
            scope = self._local_record.directory_id()
        self._takeover.begin(scope, lock=self.workflow.execution_settings.lock)
        if self.workflow.execution_settings.lock:
            note_lock()
            shutil.rmtree(INCOMING, ignore_errors=True)  # of a run that was killed
        orphans = self._takeover.orphans
        if not orphans.left:
            return
        self.logger.info(
            "Tasks of earlier runs that are under way, or have results that never arrived: "
            f"{len(orphans.left)} ({', '.join(self._takeover.predecessors)}). Jobs that are "
            "still the same take them up."
        )
        dag = self.workflow.dag
        for job in {dag.get_job_group(job) or job for job in dag.needrun_jobs()}:
            identity = self._reader.identity(job)
            self._needed.add(identity)
            attempt = orphans.attempt(identity)
            if job.attempt < attempt <= job.restart_times + 1:
                job.attempt = attempt  # its resources may depend on it

    def shutdown(self) -> None:
        """Called at the end, and by Snakemake's scheduler after an unexpected error in a poll."""
        super().shutdown()  # type: ignore[no-untyped-call]
        if self._register.live and not self._cancelled.is_set():
            self._abort()
        self._gatherer.close()
        self._environments.close()
        self._submitters.shutdown(wait=True, cancel_futures=True)
        self._collectors.shutdown(wait=True, cancel_futures=True)
        for step in (
            self._index.deletions.flush,
            self._sweep,
            self._end_takeover,
            self._other_storages.clear,
            self._local_record.close,
        ):
            try:
                step()
            except CavaticaError as error:
                self.logger.warning(str(error))
        self._connection.end_run()

    def _sweep(self) -> None:
        predecessors = self._takeover.predecessors
        if (
            self._submitter.may_have_left_drafts or predecessors
        ) and not self._takeover.has_successor:
            self._submitter.sweep(self._connection.watcher, [self._run_id, *predecessors])
            orphans = self._takeover.orphans
            orphans.forget(
                one.task.id for one in orphans.left if one.task.status == TaskStatus.DRAFT
            )

    def _end_takeover(self) -> None:
        if not self._is_detached:
            self._stopper.stop_orphans(
                self._run_id, self._needed if self._cancelled.is_set() else ()
            )
        unfinished = [*self._register.live, *self._collected.values()]
        self._takeover.end(
            {submission.run for submission in unfinished},
            state=State.DETACHED if self._is_detached else State.ENDED,
        )

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 - ours counts
        """Abort every task of this run, whatever Snakemake believes to be active."""
        self._abort()

    def _give_way(self, successor: str) -> None:
        """Another run has taken this one for dead (was the machine asleep?), and has its tasks."""
        self._is_detached = True
        self._register.close()
        self.workflow.scheduler.executor_error_callback(
            WorkflowError(
                f"The Snakemake run {successor} has taken up the tasks of this one, which had "
                "given no sign of life for some minutes. This run ends here; all goes on in the other one."
            )
        )

    def _abort(self) -> None:
        """Abort first, and only then wait for uploads and downloads that nobody needs any more."""
        self._register.close()
        self._cancelled.set()
        orphans = [one for one in self._takeover.orphans.left if one.is_live]
        ours = [one.task.id for one in orphans if one.mark.key.job in self._needed]
        tasks = [*(one.task_id or "" for one in self._register.live), *ours]
        if tasks and self._is_detached:
            if not self._takeover.has_successor:
                self.logger.info(
                    f"{len(tasks)} tasks go on on CAVATICA{self._connection.costs}. The same "
                    "command takes them up again."
                )
        elif tasks:
            self.logger.info(f"Aborting {len(tasks)} tasks on CAVATICA...")
            with second_signal(self._stopper.hurry):
                self._stopper.stop(tasks)
        self._connection.client.stop.set()
        self._index.client = self._connection.watcher
        self._gatherer.close()
        self._environments.close()
        self._submitters.shutdown(wait=True, cancel_futures=True)

    async def sleep(self) -> None:
        """Like the base class's, but over at once when the run is, and idle while nothing runs."""
        end = time.monotonic() + self._poll_interval
        while self.wait and (time.monotonic() < end or not self.active_jobs):
            await asyncio.sleep(SHORTEST_INTERVAL)

    # --------------------------------------------------------------------------- submission

    def run_jobs(self, jobs: list[Any]) -> None:
        """Plan jobs here, where Snakemake's objects are at rest; threads submit them.

        Many at a time, since it takes longer to start Snakemake's event loop than to use it.
        """
        with self._gatherer.planning():
            for start in range(0, len(jobs), _TOGETHER):
                self._run_some(jobs[start : start + _TOGETHER])

    def _run_some(self, jobs: list[Any]) -> None:
        submissions = []
        for job in jobs:
            self.run_job_pre(job)
            submissions.append(self._submission(job))
            self._guarded(submissions[-1], self._plan)
        planned = [one for one in submissions if one.planned is not None]
        outcomes = self.workflow.async_run(_all_of(clear_outputs(one.info.job) for one in planned))
        for submission, error in zip(planned, outcomes, strict=True):
            self._guarded(submission, partial(self._launch, error=error))

    def run_job(self, job: Any) -> None:
        """The same for one."""
        self.run_jobs([job])

    def _submission(self, job: Any) -> Submission:
        submission = Submission(
            SubmittedJobInfo(job), unanswered=Unanswered(local=self._connection.is_local)
        )
        submission.info.aux = {"submission": submission}
        return submission

    def _plan(self, submission: Submission) -> None:
        job = submission.info.job
        plan = self._environments.added_to(plan_job(self._reader.read(job), self._defaults))
        self.logger.debug(f"{plan.title}: {plan.mode} mode, because {plan.reason}.")
        self._tell_unused_image(plan)
        if plan.is_linked_for_size and plan.facts.rule not in self._linking:
            self._linking.add(plan.facts.rule)
            self.logger.warning(links_for_size(plan))
        if plan.script is not None:
            keep_copy(plan.script, wanted=not self.workflow.execution_settings.cleanup_scripts)
        submission.identity = self._reader.identity(job)
        submission.code = self._reader.code(job) if plan.mode is Mode.SNAKEMAKE else ""
        submission.name = self._task_name(job, plan)
        submission.planned = plan

    def _tell_unused_image(self, plan: JobPlan) -> None:
        """Say once that images which somebody has named are not used."""
        named = plan.image != self._defaults.snakemake_image
        if named and not plan.in_container and not self._is_image_told:
            self._is_image_told = True
            self.logger.warning(
                f"The image {plan.image} of rule {plan.facts.rule} is not used, and no other one. "
                f"{RUNS_HERE} `cavatica-local serve --containers podman` uses them."
            )

    def _launch(self, submission: Submission, error: BaseException | None) -> None:
        """Start a job soon, unless its outputs could not be removed."""
        if error is not None:
            raise error
        for file in updated_outputs(submission.info.job):
            self._old_versions.save(self._reader.place_of(file))
        if submission.plan.needs_environment:
            self._start_later(submission)
        else:
            self._start(submission)

    def _start(self, submission: Submission) -> None:
        """Start a job that lacks nothing, alone or with others."""
        if submission.plan.batched or submission.plan.packed > 1:
            self._gatherer.add(submission)
        else:
            self._submitters.submit(self._guarded, submission, self._launcher.start)

    def handle_job_error(self, job: Any) -> None:
        """Called after Snakemake has deleted the outputs of a failed job."""
        super().handle_job_error(job)
        # Snakemake keeps failed jobs among the running ones. If a checkpoint ends before their
        # retry has started, it would then never be started.
        self.workflow.dag._running.discard(job)
        self._collected.pop(job, None)
        for file in updated_outputs(job):
            self._old_versions.restore(self._reader.place_of(file))

    def handle_job_success(self, job: Any) -> None:
        """Called after a job has been reported as finished."""
        super().handle_job_success(job)
        submission = self._collected.pop(job, None)
        if submission is not None and submission.task_id is not None:
            self._takeover.orphans.settle(submission.identity)
            self._takeover.reported(submission.task_id)
        for file in updated_outputs(job):
            self._old_versions.discard(self._reader.place_of(file))

    def _task_name(self, job: Any, plan: JobPlan) -> str:
        if self.jobname.startswith(_DEFAULT_JOBNAME):
            return plan.title
        return str(self.get_jobname(job))

    def _guarded(self, submission: Submission, step: Callable[[Submission], None]) -> None:
        self._guard([submission], partial(step, submission))

    def _guard(self, submissions: Sequence[Submission], step: Callable[[], None]) -> None:
        """The one boundary of all steps: whatever happens becomes an error of those jobs.

        Unless the run is being cancelled, which is why it happens; the register still has them.
        """
        try:
            step()
        except (CavaticaError, WorkflowError, RuleException, OSError) as error:
            self._fail_all(submissions, str(error))
        except Exception as error:
            self.logger.debug("Unexpected error", exc_info=error)
            self._fail_all(
                submissions,
                f"unexpected {type(error).__name__}: {error}. If it does not come from a function "
                "of the workflow, please report it as an error of the CAVATICA plugin; --verbose "
                "shows where it happened.",
            )

    def _start_in_environment(self, submission: Submission) -> None:
        """Start a job once its conda environments are there; until then nothing is held up."""
        if self._environments.are_ready(submission, partial(self._start_later, submission)):
            self._start(submission)

    def _start_later(self, submission: Submission) -> None:
        if not self._cancelled.is_set():
            self._submitters.submit(self._guarded, submission, self._start_in_environment)

    def _is_cached(self, submission: Submission) -> bool:
        """Whether the job's outputs came from the between-workflow cache, and it is reported."""
        job = submission.info.job
        if not (self._cache.serves(job) and self._cache.fetch(job)):
            return False
        self.report_job_success(submission.info)
        return True

    def _fail_all(self, submissions: Sequence[Submission], message: str) -> None:
        for submission in submissions:
            if not self._cancelled.is_set():
                self._fail(submission, f"{submission.title}: {message}\n")

    def _announce(self, submission: Submission) -> None:
        """The job's task is under way."""
        self.logger.info(
            f"Job {submission.plan.facts.jobid} ({submission.name}) is task "
            f"{self._link(submission)}"
            + ("" if submission.run == self._run_id else f" of the earlier run {submission.run}")
        )
        self.report_job_submission(
            submission.info, register_job=may_be_incomplete(submission.info.job)
        )

    # ------------------------------------------------------------------------------- polling

    async def check_active_jobs(  # type: ignore[override]  # declared without its `async for`
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Yield what is still under way; everything else is handed on and reported from there."""
        # The base class starts to poll before __post_init__ has run: there is nothing to use yet.
        if not active_jobs:
            return
        began = time.monotonic()
        submissions = {info.external_jobid or "": _submission(info) for info in active_jobs}
        try:
            resting = self._resting(submissions)
            answers = self._look_at(submissions)
            results = {
                task_id: outcome(answers[task_id], submission.plan)
                for task_id, submission in submissions.items()
            }
            files = self._connection.watcher.get_files(
                ref.path
                for result in results.values()
                if isinstance(result, Completed)
                for ref in result.outputs.values()
            )
        except ApiError as error:
            for info in active_jobs:
                if not self._is_hopeless(_submission(info), error):
                    yield info
            return
        finally:
            self._poll_interval = self._schedule.interval(
                len(active_jobs),
                asked=len(set(map(task_id_of, submissions))),
                took=time.monotonic() - began,
            )
        if self._index.deletions.are_overdue(self._schedule.longest):
            self._collectors.submit(self._tidy)
        for submission in resting:
            yield submission.info
        ended: list[tuple[Submission, Outcome]] = []
        for task_id, submission in submissions.items():
            answer, result = answers[task_id], results[task_id]
            if isinstance(answer, Task):
                submission.task = answer
            if self._is_under_way(submission, result):
                yield submission.info
            else:
                ended.append((submission, result))
                self._schedule.end(submission.task)
        self._hand_on(ended, files)

    def _resting(self, submissions: dict[str, Submission]) -> list[Submission]:
        """Take out the children of batches that need not be looked at now."""
        children = {
            identifier: submission.task.parent
            for identifier, submission in submissions.items()
            if submission.task and submission.task.parent and not is_packed_job(identifier)
        }
        resting = [submissions.pop(child) for child in self._batches.resting(children)]
        for submission in resting:
            submission.unanswered.ends()
        return resting

    def _look_at(self, submissions: Mapping[str, Submission]) -> dict[str, Task | ApiError]:
        """The tasks of jobs, by the ids that the jobs know them by."""
        tasks = self._connection.watcher.get_tasks(map(task_id_of, submissions), fields=_WATCHED)
        shared_tasks = {
            task_id: SharedTask(task) for task_id, task in tasks.items() if isinstance(task, Task)
        }
        answers: dict[str, Task | ApiError] = {}
        for identifier, submission in submissions.items():
            answer = tasks[task_id_of(identifier)]
            if is_packed_job(identifier) and isinstance(answer, Task):
                last = submission.task
                if last is not None and last.status == answer.status and not answer.is_terminal:
                    answer = last  # nothing of it matters until it ends
                else:
                    answer = shared_tasks[answer.id].packed_job(identifier, submission.names)
            answers[identifier] = answer
        return answers

    def _hand_on(
        self, ended: list[tuple[Submission, Outcome]], files: dict[str, File | ApiError]
    ) -> None:
        """Let threads collect what has completed, and explain what has failed."""
        children: list[tuple[Submission, Completed]] = []
        for submission, result in ended:
            if isinstance(result, Completed) and submission.is_child:
                children.append((submission, result))
            elif isinstance(result, Completed):
                step = partial(self._collect, result=result, files=files)
                self._collectors.submit(self._guarded, submission, step)
            elif isinstance(result, Failed | Lost):
                step = partial(self._explain, failure=result)
                self._collectors.submit(self._guarded, submission, step)
        if children:
            step_of_all = partial(self._collect_children, children, files)
            self._collectors.submit(self._guard, [one for one, _ in children], step_of_all)

    def _collect_children(
        self, children: list[tuple[Submission, Completed]], files: dict[str, File | ApiError]
    ) -> None:
        """Move the outputs of several children of batches together, then go on with each."""
        outputs = [
            (output, result.outputs[output.port])
            for submission, result in children
            for passing in [submission.passing]
            for _, output in submission.plan.collected
            if output.port in passing
        ]
        try:
            files = self._collector.bring_home(outputs, files)
        except CavaticaError as error:
            self.logger.debug(f"Outputs could not be moved together: {error}")
        for submission, result in children:
            step = partial(self._collect, result=result, files=files)
            self._collectors.submit(self._guarded, submission, step)

    def _is_under_way(self, submission: Submission, result: Outcome) -> bool:
        """Whether to look again; a job that is given up has ended here."""
        if self._cancelled.is_set():  # that our own aborts work is no news
            return True
        if isinstance(result, Pending):
            if result.error is not None:
                return not self._is_hopeless(submission, result.error)
            submission.unanswered.ends()
            self._note_status(submission, result)
            return True
        submission.ended = True
        return False

    def _tidy(self) -> None:
        """Delete by and by what Snakemake takes for deleted, in bulk; the end does the rest."""
        try:
            self._index.deletions.flush()
        except CavaticaError as error:
            self.logger.debug(f"Files could not be deleted yet: {error}")

    def _note_status(self, submission: Submission, now: Pending) -> None:
        if now.status == submission.status:
            return
        detail = f" ({now.detail})" if now.detail else ""
        self.logger.info(f"Task {submission.name}: {now.status}{detail}")
        submission.status = now.status

    def _is_hopeless(self, submission: Submission, error: ApiError) -> bool:
        """Whether to give a job up for want of answers about its task, which then is done here."""
        unanswered = submission.unanswered
        if unanswered.begins() and str(error) != self._last_trouble:
            self._last_trouble = str(error)
            self.logger.warning(f"The tasks could not be looked at; trying again. {error}")
        if not unanswered.is_too_long:
            return False
        self._collectors.submit(self._guarded, submission, partial(self._give_up, error=error))
        return True

    def _give_up(self, submission: Submission, error: ApiError) -> None:
        self._fail(
            submission,
            f"{submission.title}: the platform has told nothing about its task for "
            f"{submission.unanswered.patience:.0f} seconds. {error}\n",
        )

    # ------------------------------------------------------------------- success and failure

    def _collect(
        self, submission: Submission, result: Completed, files: dict[str, File | ApiError]
    ) -> None:
        self._completion.complete(submission, result, files)
        self._collected[submission.info.job] = submission
        self._register.leave(submission)
        self._reports.add(submission.info)

    def _explain(self, submission: Submission, failure: Failed | Lost) -> None:
        job = submission.info.job
        assert submission.task_id is not None
        members = members_of(job)
        diagnosis = diagnose(
            self._connection.client,
            submission.plan,
            submission.task_id,
            self._link(submission),
            failure,
            log_paths=[Path(str(file)) for member in members for file in member.log],
            stderr_path=stderr_file(submission.task_id),
            side_files=self._side_files,
        )
        if diagnosis.reason is Reason.SPOT_LOSS and self._may_start_again(submission):
            self._start_again(submission, diagnosis.finding)
            return
        logs = {str(file): file for member in members for file in member.log}
        written = list(map(str, diagnosis.logs))
        trouble = self._other_storages.store_logs(logs[path] for path in written if path in logs)
        self._fail(
            submission,
            diagnosis.message + trouble,
            [path for path in written if path not in logs],
        )

    def _may_start_again(self, submission: Submission) -> bool:
        """Whether another instance may be tried; one on demand is not lost to the spot market."""
        return submission.plan.settings.interruptible is not False and not self._cancelled.is_set()

    def _start_again(self, submission: Submission, finding: Finding) -> None:
        """The spot instance was taken away, which is no failure of the job: a new task for it.

        On spot instances as often as --preemptible-retries says, and then on demand.
        """
        submission.spot_losses += 1
        retries = self.workflow.remote_execution_settings.preemptible_retries or 0
        plan = submission.plan
        where = "on another one"
        if submission.spot_losses > retries:
            submission.planned = replace(plan, settings=replace(plan.settings, interruptible=False))
            where = "on demand"
        self.logger.warning(f"{plan.title}: {finding.sentence} Trying again {where}.")
        self._register.leave(submission)
        submission.task, submission.status, submission.ended = None, "", False
        self._submitters.submit(self._guarded, submission, self._launcher.start)

    def _fail(self, submission: Submission, message: str, logs: list[str] | None = None) -> None:
        """Report a failure; a task that may still run is aborted first, so that none is paid for
        twice, and stays in the register if that does not work.
        """
        if submission.task is not None and not submission.ended:
            message += self._stopper.give_up(submission.orphan)
        self._register.leave(submission)
        if submission.info.job.is_group():
            self.logger.error(message)  # Snakemake does not show the message of a group
        self.report_job_error(submission.info, msg=message, aux_logs=logs or [])

    def _link(self, submission: Submission) -> str:
        return self._page(submission.task_id or "")

    def _page(self, task_id: str) -> str:
        return self._connection.task_page(self._index.project, task_id_of(task_id))


async def _all_of(steps: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
    """Take steps that do not depend on one another; the error of each, or None."""
    return await asyncio.gather(*steps, return_exceptions=True)


def _submission(info: SubmittedJobInfo) -> Submission:
    assert info.aux is not None
    submission = info.aux["submission"]
    assert isinstance(submission, Submission)
    return submission
