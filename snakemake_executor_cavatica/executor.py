"""What Snakemake calls: a job in, a report out. All is handed on; nothing is decided here.

The steps run in threads of their own, because Snakemake calls `run_jobs` on the thread that also
handles finished jobs and Ctrl-C. An error never leaves them: it is reported for the job that it
belongs to, so that `--retries` and `--keep-going` work.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from . import plugins
from .api import CavaticaError
from .plan.plan import JobPlan
from .project.closed_output import LogOutput
from .project.signals import at_uncaught, ended_by_signals, interrupt_at_hangup, second_signal
from .run.register import Submission
from .translate.task_name import task_name
from .watch.schedule import SHORTEST_INTERVAL
from .wiring import Steps, begin_run

_UNHEARD = (
    "Nobody reads what this run says any more: the pipe that it goes to was closed. The run ends "
    "here, as it would where jobs run beside it; the same command goes on from here."
)


class Executor(plugins.Executor):
    """Runs jobs as CAVATICA tasks."""

    # The interface declares less than Snakemake passes on.
    workflow: Any
    logger: Any

    _steps: Steps | None = None
    """None at first: the base class starts to poll before __post_init__ has run."""
    _output: LogOutput | None = None

    def __post_init__(self) -> None:
        try:
            with ended_by_signals("the run was prepared, before any task was started"):
                self._steps = begin_run(self.workflow, self, self.logger, self._task_name)
            interrupt_at_hangup()
            at_uncaught(self._leave)
            self._output = LogOutput(self.logger)
        except CavaticaError as error:
            raise WorkflowError(str(error)) from error

    @property
    def steps(self) -> Steps:
        """What jobs are handed to, once a run has begun."""
        assert self._steps is not None
        return self._steps

    def _task_name(self, job: Any, plan: JobPlan) -> str:
        return task_name(plan, self.jobname, lambda: str(self.get_jobname(job)))

    def run_jobs(self, jobs: list[Any]) -> None:
        """Start jobs; this returns once they are planned."""
        self.steps.starter.start_jobs(jobs, self.run_job_pre, self.workflow.async_run)

    def run_job(self, job: Any) -> None:
        """The same for one."""
        self.run_jobs([job])

    async def check_active_jobs(  # type: ignore[override]  # declared without its `async for`
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Yield what is still under way; everything else is handed on and reported from there."""
        if self._steps is None:
            return
        poller, finisher, observed = self.steps.poller, self.steps.finisher, self.steps.observed
        observed.limit.look(self.steps.limited)
        jobs = [*map(_submission, active_jobs), *poller.own_jobs]
        if not jobs:
            return
        seen = poller.look(jobs)
        finisher.tidy_soon(poller.longest_interval)
        for submission in seen.under_way:
            if submission.info is not None:
                yield submission.info
        finisher.finish(seen)

    async def sleep(self) -> None:
        """Like the base class's, but over at once when the run is, and idle while nothing runs."""
        interval = SHORTEST_INTERVAL
        if self._steps is not None and (self.active_jobs or self._steps.poller.own_jobs):
            interval = self._steps.poller.interval
        end = time.monotonic() + interval
        while self.wait and (time.monotonic() < end or not self._has_jobs):
            await asyncio.sleep(SHORTEST_INTERVAL)
            if self._steps is not None:
                self._steps.observed.look()
            if self._output is not None:
                self._end_unheard(self._output)

    def _end_unheard(self, output: LogOutput) -> None:
        scheduler = self.workflow.scheduler
        if scheduler is not None and output.was_closed():
            scheduler.executor_error_callback(WorkflowError(_UNHEARD))

    @property
    def _has_jobs(self) -> bool:
        if self._steps is None:
            return bool(self.active_jobs)
        is_keeping = self._steps.observed.limit.is_keeping
        return bool(self.active_jobs or self._steps.poller.own_jobs or is_keeping)

    def handle_job_success(self, job: Any) -> None:
        """Called after a job has been reported as finished."""
        super().handle_job_success(job)
        self.steps.run.settle(job)
        self.steps.old_versions.discard(job)

    def handle_job_error(self, job: Any) -> None:
        """Called after Snakemake has deleted the outputs of a failed job."""
        super().handle_job_error(job)
        # Snakemake keeps failed jobs among the running ones. If a checkpoint ends before their
        # retry has started, it would then never be started.
        self.workflow.dag._running.discard(job)
        reported = self.steps.run.register.settle(job)
        if reported is not None and reported.task is not None:
            self.steps.end.failed(reported, sys.exc_info()[1])
        self.steps.old_versions.restore(job)

    def cancel(self) -> None:
        """Called at Ctrl-C, and after an error: what follows is not kept from its end by another
        Ctrl-C.
        """
        with second_signal(self.steps.end.hurry):
            self.steps.end.ended_by(sys.exc_info()[1])
            super().cancel()  # type: ignore[no-untyped-call]

    def _leave(self) -> None:
        """Called when Python is about to end by what nobody has caught."""
        if self.wait:
            self.cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 - ours counts
        """Abort every task of this run, whatever Snakemake believes to be active."""
        self.steps.end.abort()

    def shutdown(self) -> None:
        """Called at the end, and by Snakemake's scheduler after an unexpected error in a poll."""
        super().shutdown()  # type: ignore[no-untyped-call]
        self.steps.end.close()
        self.steps.observed.end(self.steps.end, has_failed=self.workflow.scheduler.failed)


def _submission(info: SubmittedJobInfo) -> Submission:
    assert info.aux is not None
    submission = info.aux["submission"]
    assert isinstance(submission, Submission)
    return submission
