"""What the log tells of each job, for people and for logger plugins."""

from __future__ import annotations

import logging

from ..api import TaskStatus
from ..read.snakemake_jobs import members_of
from ..run.register import Submission
from .entries import Attempt
from .events import KEY, remote_job_state
from .words import money


class JobLog:
    """Tells how jobs stand."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def tell(self, submission: Submission, attempt: Attempt, text: str) -> None:
        """Say it, with what logger plugins can read; for each of the jobs of a group."""
        members = [] if submission.info is None else members_of(submission.info.job)
        task = submission.task
        is_known = task is not None and task.status != TaskStatus.DRAFT
        if not members:
            self._logger.info(text)
        for member in members:
            state = remote_job_state(
                attempt,
                int(member.jobid),
                remote_status=task.status if task is not None and is_known else "",
                members=len(members),
            )
            of_member = f" (job {member.jobid})" if len(members) > 1 else ""
            self._logger.info(f"{text}{of_member}", extra={KEY: state} if state else None)


def summed_up(attempt: Attempt) -> str:
    """How long the attempt waited and ran, and what it cost."""
    parts = []
    if attempt.run_seconds is not None:
        parts.append(f"ran {attempt.run_seconds:.0f} s")
    if attempt.queue_seconds is not None:
        parts.append(f"waited {attempt.queue_seconds:.0f} s")
    if attempt.price is not None:
        parts.append(money(attempt.price, attempt.currency))
    return f", {', '.join(parts)}" if parts else ""
