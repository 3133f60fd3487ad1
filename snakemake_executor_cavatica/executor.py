"""Wires Snakemake's executor interface to the plugin: a job in, a report out, nothing decided here.

Submission and collection run in threads of their own, because Snakemake calls `run_jobs` on the
thread that also handles finished jobs and Ctrl-C. An error never leaves them: it is reported for
the job that it belongs to, so that `--retries` and `--keep-going` work.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snakemake.io import is_flagged
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from .api import ApiError, CavaticaError, File, FileRef, Permissions
from .collect import Collector
from .connection import Connection, connect, is_on_this_machine, wanted_project
from .failure import diagnose
from .jobs import JobReader
from .ledger import Ledger, checksum_of
from .outcome import Completed, Failed, Lost, Outcome, Pending, outcome
from .paths import SCHEME, LocalPath, Place, ProjectPath
from .plan import Defaults, JobPlan, plan_job
from .run import Register, Submission, abort_all
from .settings import ExecutorSettings
from .sources import Sources, collect_sources, watch_reads, write_archive
from .stage import Stage
from .submit import Submitter

watch_reads()

_SUBMIT_THREADS = 8
_COLLECT_THREADS = 4
_LOCAL_POLL = 1.0
"""Longest time between two polls of the embedded platform, which costs nothing; seconds."""
_SHORTEST_POLL = 0.2
_LONGEST_SILENCE = 3600.0
"""Seconds without any answer about the tasks after which their jobs are given up."""
_LOCAL_SILENCE = 10.0
_WEB = {
    "api.sbgenomics.com": "igor.sbgenomics.com",
    "eu-api.sbgenomics.com": "eu.sbgenomics.com",
    "cavatica-api.sbgenomics.com": "cavatica.sbgenomics.com",
    "cgc-api.sbgenomics.com": "cgc.sbgenomics.com",
    "api.sb.biodatacatalyst.nhlbi.nih.gov": "platform.sb.biodatacatalyst.nhlbi.nih.gov",
}
"""API host to the host of the web pages (public addresses of the deployments)."""
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_KEY")
_DEFAULT_JOBNAME = "snakejob.{"


class Executor(RemoteExecutor):
    """Runs jobs as CAVATICA tasks."""

    # The interface declares less than Snakemake passes on.
    workflow: Any
    logger: Any

    _poll_interval: float = _SHORTEST_POLL
    """Seconds. Set here, because the base class starts to poll before __post_init__ has run."""

    # ------------------------------------------------------------------------- start and end

    def __post_init__(self) -> None:
        self._submitters = ThreadPoolExecutor(_SUBMIT_THREADS, "cavatica-submit")
        self._collectors = ThreadPoolExecutor(_COLLECT_THREADS, "cavatica-collect")
        self._register = Register()
        self._backups: set[Place] = set()
        self._trouble_since: float | None = None
        try:
            self._connect()
        except CavaticaError as error:
            raise WorkflowError(str(error)) from error

    def _connect(self) -> None:
        settings = self.workflow.executor_settings or ExecutorSettings()
        self._connection: Connection = connect(settings.api_endpoint, settings.credentials_profile)
        self._client = self._connection.client
        self._is_local = is_on_this_machine(self._client.endpoint)
        self._poll_interval = _poll_interval(
            self.workflow.remote_execution_settings.seconds_between_status_checks,
            local=self._is_local,
        )
        project = wanted_project(self._connection, self._prefix_project())
        _check_permissions(self._connection, project)
        home = ProjectPath(project, settings.folder)
        run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        ledger = Ledger(f"{self._client.endpoint} {project}")
        self._index = self._connection.index(project)
        self._index.deferred = True
        self._stage = Stage(self._connection, home, ledger)
        self._collector = Collector(self._connection, self._stage)
        self._submitter = Submitter(self._client, run_id, home / "runs" / run_id)
        self._defaults = self._read_defaults(settings)
        self._sources: Sources = self._collect_sources()
        self._sources_ref: FileRef | None = None
        self._reader = JobReader(
            self.workflow,
            self._connection,
            workdir=self._sources.workdir,
            known_folder=self._stage.known_folder,
        )
        self.logger.info(
            f"CAVATICA: project {project} on {self._client.endpoint}, run {run_id}, "
            f"token from {self._connection.source}."
        )

    def _prefix_project(self) -> str | None:
        prefix = self.workflow.storage_settings.default_storage_prefix or ""
        if not prefix.startswith(SCHEME):
            return None
        try:
            return ProjectPath.parse(prefix).project
        except ValueError as error:
            raise CavaticaError(f"--default-storage-prefix {prefix}: {error}.") from error

    def _read_defaults(self, settings: ExecutorSettings) -> Defaults:
        remote = self.workflow.remote_execution_settings
        snakemake_image = remote.container_image.removeprefix("docker://")
        return Defaults(
            mode=settings.mode,
            shell_image=settings.container_image or snakemake_image,
            snakemake_image=snakemake_image,
            instance_type=settings.instance_type,
            max_parallel_instances=settings.max_parallel_instances,
            use_memoization=settings.use_memoization,
            use_elastic_disk=settings.use_elastic_disk,
            interruptible=settings.interruptible,
            output_metadata=settings.output_metadata,
            environment=self._environment(settings),
            precommand=remote.precommand,
        )

    def _environment(self, settings: ExecutorSettings) -> dict[str, str]:
        """The variables of `--envvars` and `envvars:`; whoever sees the task can read them."""
        remote = self.workflow.remote_execution_settings
        names = sorted({*remote.envvars, *self.workflow.envvars})
        values = {name: os.environ[name] for name in names}
        secrets = [name for name in names if _SECRET_NAME.search(name.upper())]
        if secrets and not settings.allow_secret_envvars:
            raise CavaticaError(
                f"The environment variables {', '.join(secrets)} look like secrets, and every "
                "member of the project could read them in the tasks. Leave them out of envvars, "
                "or say --cavatica-allow-secret-envvars."
            )
        if any(self._connection.shows_token(value) for value in values.values()):
            raise CavaticaError(
                "An environment variable of --envvars holds the API token. It is never written "
                "into a task; jobs do not need it."
            )
        return values

    def _collect_sources(self) -> Sources:
        dag = self.workflow.dag
        jobs = list(dag.jobs)
        commands = (
            text
            for rule in self.workflow.rules
            for text in (rule.shellcmd, rule.script, rule.notebook)
            if text
        )
        return collect_sources(
            declared=dag.get_sources(),
            commands=map(str, commands),
            workdir=Path.cwd(),
            inputs={str(file) for job in jobs for file in job.input if not file.is_storage},
            outputs={str(file) for job in jobs for file in job.output if not file.is_storage},
        )

    def shutdown(self) -> None:
        """Called at the end, and by Snakemake's poll thread after an unexpected error there."""
        super().shutdown()  # type: ignore[no-untyped-call]
        if self._register.live:
            self._abort()
        self._submitters.shutdown(wait=True, cancel_futures=True)
        self._collectors.shutdown(wait=True, cancel_futures=True)
        try:
            self._index.flush()
        except CavaticaError as error:
            self.logger.warning(str(error))

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 - ours counts
        """Abort every task of this run, whatever Snakemake believes to be active."""
        self._abort()

    def _abort(self) -> None:
        self._register.close()
        self._submitters.shutdown(wait=True, cancel_futures=True)
        live = self._register.live
        if not live:
            return
        self.logger.info(f"Aborting {len(live)} tasks on CAVATICA...")
        alive = abort_all(self._connection.watcher, live)
        for submission in live:
            self._register.leave(submission)
        if alive:
            links = "\n".join(f"  {self._link(one)} ({one.plan.title})" for one in alive)
            self.logger.error(
                f"These tasks could not be stopped; abort them by hand, they may cost money:\n"
                f"{links}"
            )

    async def sleep(self) -> None:
        """Like the base class's, but over at once when the run is, and idle while nothing runs."""
        end = time.monotonic() + self._poll_interval
        while self.wait and (time.monotonic() < end or not self.active_jobs):
            await asyncio.sleep(min(_SHORTEST_POLL, self._poll_interval))

    # --------------------------------------------------------------------------- submission

    def run_job(self, job: Any) -> None:
        """Plan the job here, where Snakemake's objects are at rest; submit it in a thread."""
        info = SubmittedJobInfo(job)
        try:
            plan = plan_job(self._reader.read(job), self._defaults)
            self._prepare(job)
        except (CavaticaError, WorkflowError) as error:
            self.report_job_error(info, msg=f"{error}\n")
            return
        self.logger.debug(f"{plan.title}: {plan.mode} mode, because {plan.reason}.")
        submission = Submission(info, plan, self._task_name(job, plan))
        info.aux = {"submission": submission}
        self._submitters.submit(self._guarded, submission, self._submit)

    def _prepare(self, job: Any) -> None:
        """Remove what the job will make: a stale output must never be taken for a fresh one."""
        for member in job.jobs if job.is_group() else [job]:
            self.workflow.async_run(member.check_protected_output())
            self.workflow.async_run(member.remove_existing_output())
            for file in member.output:
                self._stage.forget(LocalPath(str(file)))
            self._secure_updates(member)

    def _secure_updates(self, job: Any) -> None:
        """Keep the old version of update() outputs until it is known that there is a new one.

        Snakemake does so only where it shares a file system with the jobs.
        """
        for file in _updated(job):
            place = self._reader.place_of(file)
            if isinstance(place, ProjectPath):
                self._connection.index(place.project).pin(place.path)
            elif Path(place.path).exists():
                self.workflow.persistence.backup_output(Path(place.path))
                self._backups.add(place)

    def handle_job_error(self, job: Any) -> None:
        """Called after Snakemake has deleted the outputs of a failed job."""
        super().handle_job_error(job)
        for file in _updated(job):
            place = self._reader.place_of(file)
            if isinstance(place, ProjectPath):
                self._connection.index(place.project).unpin(place.path)
            elif place in self._backups:
                self.workflow.persistence.restore_output(Path(place.path))
                self._backups.remove(place)

    def handle_job_success(self, job: Any) -> None:
        """Called after a job has been reported as finished."""
        super().handle_job_success(job)
        for file in _updated(job):
            place = self._reader.place_of(file)
            if place in self._backups:
                self.workflow.persistence.cleanup_backup(Path(place.path))
                self._backups.remove(place)

    def _task_name(self, job: Any, plan: JobPlan) -> str:
        if self.jobname.startswith(_DEFAULT_JOBNAME):
            return plan.title
        return str(self.get_jobname(job))

    def _guarded(self, submission: Submission, step: Callable[[Submission], None]) -> None:
        """The one boundary of the threads: whatever happens becomes an error of that job."""
        try:
            step(submission)
        except (CavaticaError, WorkflowError, OSError) as error:
            self._fail(submission, f"{submission.plan.title}: {error}\n")
        except Exception as error:
            self.logger.debug("Unexpected error", exc_info=error)
            self._fail(
                submission,
                f"{submission.plan.title}: unexpected {type(error).__name__} in the CAVATICA "
                f"plugin: {error}. Please report it; --verbose shows where.\n",
            )

    def _submit(self, submission: Submission) -> None:
        plan = submission.plan
        paths = [one.place.path for one in plan.outputs if isinstance(one.place, ProjectPath)]
        if self._index.is_doomed(paths):
            self._index.flush()
        files = self._stage.prepare(staged.place for staged in plan.inputs)
        draft = self._submitter.draft(plan, submission.name, self._upload_sources(), files)
        task = self._submitter.create(draft)
        submission.task_id = submission.info.external_jobid = task.id
        if not self._register.enter(submission):
            self._client.delete_task(task.id, missing_ok=True)
            return
        started = self._submitter.run(task)
        submission.status = started.status
        self.logger.info(
            f"Job {plan.facts.jobid} ({submission.name}) is task {self._link(submission)}"
        )
        self.report_job_submission(submission.info)

    def _upload_sources(self) -> FileRef:
        with self.lock:
            if self._sources_ref is None:
                with tempfile.TemporaryDirectory() as scratch:
                    archive = Path(scratch, "sources.tar")
                    write_archive(self._sources, archive)
                    name = f"{checksum_of(str(archive))[:32]}-sources.tar"
                    self._sources_ref = self._stage.upload_content(archive, name)
            return self._sources_ref

    # ------------------------------------------------------------------------------- polling

    async def check_active_jobs(  # type: ignore[override]  # declared without its `async for`
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Yield what is still under way; everything else is handed on and reported from there."""
        # The base class starts to poll before __post_init__ has run: there is nothing to use yet.
        if not active_jobs:
            return
        submissions = {info.external_jobid or "": _submission(info) for info in active_jobs}
        try:
            answers = self._connection.watcher.get_tasks(submissions)
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
                if self._still_hoping(info, error):
                    yield info
            return
        self._trouble_since = None
        for task_id, submission in submissions.items():
            if self._is_under_way(submission, results[task_id], files):
                yield submission.info

    def _is_under_way(
        self, submission: Submission, result: Outcome, files: dict[str, File | ApiError]
    ) -> bool:
        """Whether to look again; what has ended is handed on, once."""
        if isinstance(result, Pending):
            self._note_status(submission, result)
            return True
        if isinstance(result, Completed):
            step = partial(self._collect, result=result, files=files)
        else:
            step = partial(self._explain, failure=result)
        self._collectors.submit(self._guarded, submission, step)
        return False

    def _note_status(self, submission: Submission, now: Pending) -> None:
        if now.status in {submission.status, "UNKNOWN"}:
            return
        detail = f" ({now.detail})" if now.detail else ""
        self.logger.info(f"Task {submission.name}: {now.status}{detail}")
        submission.status = now.status

    def _still_hoping(self, info: SubmittedJobInfo, error: ApiError) -> bool:
        """Whether to go on asking after a failed poll; said once, and not for ever."""
        if self._trouble_since is None:
            self._trouble_since = time.monotonic()
            self.logger.warning(f"The tasks could not be looked at; trying again. {error}")
        patience = _LOCAL_SILENCE if self._is_local else _LONGEST_SILENCE
        if time.monotonic() - self._trouble_since < patience:
            return True
        submission = _submission(info)
        self._fail(
            submission,
            f"{submission.plan.title}: the platform could not be asked for {patience / 60:.0f} "
            f"minutes. {error} The task may still be running, and cost money; look at "
            f"{self._link(submission)}.\n",
        )
        return False

    # ------------------------------------------------------------------- success and failure

    def _collect(
        self, submission: Submission, result: Completed, files: dict[str, File | ApiError]
    ) -> None:
        job = submission.info.job
        for file in _updated(job):
            place = self._reader.place_of(file)
            if isinstance(place, ProjectPath):
                self._connection.index(place.project).unpin(place.path)
        collected = self._collector.collect(
            submission.plan, result.outputs, files, copies=self._copies(submission)
        )
        self._settle_local_files(job)
        self._collector.remember(collected)
        self._register.leave(submission)
        self.report_job_success(submission.info)

    def _copies(self, submission: Submission) -> dict[str, Path]:
        """Checkpoint outputs on the platform: input functions read them on this machine."""
        if not submission.info.job.is_checkpoint:
            return {}
        local = {
            self._reader.place_of(file): Path(str(file)) for file in submission.info.job.output
        }
        return {
            output.port: local[output.place]
            for output in submission.plan.outputs
            if isinstance(output.place, ProjectPath) and output.place in local
        }

    @staticmethod
    def _settle_local_files(job: Any) -> None:
        """One time for all files of a task, so that none of them looks older than its origin."""
        now = time.time()
        for member in job.jobs if job.is_group() else [job]:
            benchmark = [member.benchmark] if member.benchmark else []
            for file in (*member.output, *benchmark):
                if not file.is_storage and Path(str(file)).exists():
                    file.touch(times=(now, now))
                    if file in member.protected_output:
                        file.protect()

    def _explain(self, submission: Submission, failure: Failed | Lost) -> None:
        job = submission.info.job
        assert submission.task_id is not None
        members = job.jobs if job.is_group() else [job]
        diagnosis = diagnose(
            self._client,
            submission.plan,
            submission.task_id,
            self._link(submission),
            failure,
            log_paths=[Path(str(file)) for member in members for file in member.log],
            stderr_path=Path(".snakemake/cavatica/logs", f"{submission.task_id}.stderr"),
        )
        declared = {str(file) for member in members for file in member.log}
        self._fail(
            submission,
            diagnosis.message,
            [str(path) for path in diagnosis.logs if str(path) not in declared],
        )

    def _fail(self, submission: Submission, message: str, logs: list[str] | None = None) -> None:
        self._register.leave(submission)
        if submission.info.job.is_group():
            self.logger.error(message)  # Snakemake does not show the message of a group
        self.report_job_error(submission.info, msg=message, aux_logs=logs or [])

    def _link(self, submission: Submission) -> str:
        """The task's page, or its address in the API where there are no pages."""
        endpoint = self._client.endpoint
        host = _WEB.get(urlsplit(endpoint).hostname or "")
        if host is None:
            return f"{endpoint}/tasks/{submission.task_id}"
        return f"https://{host}/u/{self._index.project}/tasks/{submission.task_id}"


def _updated(job: Any) -> list[Any]:
    """The update() outputs of a job or group."""
    members = job.jobs if job.is_group() else [job]
    return [file for member in members for file in member.output if is_flagged(file, "update")]


def _poll_interval(wanted: float, *, local: bool) -> float:
    """Seconds between two polls: the user's, but not idle on the embedded platform."""
    return max(min(wanted, _LOCAL_POLL) if local else wanted, _SHORTEST_POLL)


def _submission(info: SubmittedJobInfo) -> Submission:
    assert info.aux is not None
    submission = info.aux["submission"]
    assert isinstance(submission, Submission)
    return submission


def _may(permissions: Permissions, name: str) -> bool:
    return bool(permissions.copy_ if name == "copy" else getattr(permissions, name))


def _check_permissions(connection: Connection, project: str) -> None:
    """Say at the start what would otherwise fail at the first upload, draft or run."""
    document = connection.project(project)
    permissions = document.permissions
    missing = [
        name
        for name in ("write", "copy", "execute")
        if permissions is not None and not _may(permissions, name)
    ]
    if missing:
        raise CavaticaError(
            f"You have no {' and no '.join(missing)} permission in the project {project}. Ask one "
            "of its administrators for it, or name another project with --cavatica-project."
        )
