"""Whether and where a job runs again that has lost its spot instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..run.context import RunContext
from ..run.register import Submission
from ..translate.measured import NOTHING
from .evidence import Finding


class SpotRetry:
    """Starts such jobs again: that the instance was taken away is no failure of the job."""

    def __init__(
        self, run: RunContext, start_again: Callable[[Submission], None], retries: int
    ) -> None:
        """`retries` is how often a job gets another spot instance (--preemptible-retries)."""
        self._run = run
        self._start_again = start_again
        self._retries = retries

    def may_start(self, submission: Submission) -> bool:
        """Whether another instance may be tried; one on demand is not lost to the spot market."""
        is_over = self._run.cancelled.is_set()
        return submission.plan.settings.interruptible is not False and not is_over

    def start(self, submission: Submission, finding: Finding) -> None:
        """Start a new task for the job: on a spot instance if it gets one more, or on demand."""
        submission.spot_losses += 1
        plan = submission.plan
        where = "on another one"
        if submission.spot_losses > self._retries:
            submission.planned = replace(plan, settings=replace(plan.settings, interruptible=False))
            where = "on demand"
        self._run.logger.warning(f"{plan.title}: {finding.sentence} Trying again {where}.")
        self._run.register.leave(submission)
        self._run.observer.failed(submission, finding.sentence)
        submission.task, submission.status, submission.ended = None, "", False
        submission.measured = NOTHING
        self._start_again(submission)
