"""What the steps tell of each job, for the record of the run.

Who listens is none of their business; it costs no request and never fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..api import ApiError, Task
from .leftovers import Leftover
from .register import Submission


class Limit(Protocol):
    """Says whether tasks may be started that cost money. Safe to use from several threads."""

    def allows(self, *submissions: Submission) -> bool:
        """Whether a task may be started for these jobs; if not, they are kept until it may."""


class Observer(Protocol):
    """Hears of all attempts at all jobs. Safe to use from several threads."""

    def entered(self, submission: Submission) -> None:
        """A job has a task: a new one, that of an earlier run, or a part of a shared one."""

    def under_way(self, submission: Submission) -> None:
        """The task was started, or goes on; Snakemake is about to hear of it."""

    def changed(self, submission: Submission, detail: str) -> None:
        """The platform shows another status than before; `detail` is what the task waits for."""

    def arriving(self, submission: Submission) -> None:
        """The outputs are about to appear: for Snakemake the job is then done, also if this process
        dies before `finished`.
        """

    def finished(self, submission: Submission, size: int | None) -> None:
        """The job has its outputs, of so many bytes, in place."""

    def reused(self, submission: Submission, earlier: Leftover | None = None) -> None:
        """The outputs are those of an earlier task, which is no task of this job; without one, they
        came from the between-workflow cache.
        """

    def explained(
        self, submission: Submission, reason: str, *, exit_status: int | None, stderr: str
    ) -> None:
        """Why the job's task has failed, before `failed` tells that the attempt has."""

    def failed(self, submission: Submission, message: str) -> None:
        """The attempt is over without success, for whatever reason; the job may have others."""

    def given_up(
        self, parent: Submission, answer: Task | ApiError | None, jobs: Iterable[Submission]
    ) -> None:
        """A task for several jobs was stopped before it could be followed.

        `jobs` start anew; there are none if the run ends.
        """

    def seen(self, task_id: str, answer: Task | ApiError | None) -> None:
        """How a task stands that nobody looks at any more, because it was stopped."""
