"""A run whose tasks may cost only so much: what the limit asks of it, and does to it."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..launch.starter import Starter
from ..run.context import RunContext
from ..run.register import Submission
from .end_of_run import EndOfRun


class LimitedSteps:
    """The run, as the limit of its costs sees it."""

    def __init__(self, workflow: Any, run: RunContext, starter: Starter, end: EndOfRun) -> None:
        self._workflow = workflow
        self._register = run.register
        self._starter = starter
        self._end = end

    def start_again(self, submission: Submission) -> None:
        """Start a job that was kept."""
        self._starter.start(submission)

    def waits_only_for(self, jobs: Container[Any]) -> bool:
        """Whether of Snakemake's jobs only these are under way."""
        is_clear = not self._register.live and not self._register.has_reported
        return is_clear and all(job in jobs for job in self._running)

    def works_here(self) -> bool:
        """Whether a job runs on this machine."""
        return self._register.has_reported or any(job.is_local for job in self._running)

    @property
    def _running(self) -> list[Any]:
        return list(self._workflow.scheduler.running)

    def abort(self) -> None:
        """Abort all tasks."""
        self._end.abort_tasks(may_detach=False)

    def end(self, why: str) -> None:
        """End the run, and say why."""
        self._workflow.scheduler.executor_error_callback(WorkflowError(why))
