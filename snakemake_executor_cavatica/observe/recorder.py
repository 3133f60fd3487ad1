"""Writes down what becomes of each job, and tells it in the log, while a run goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..api import ApiError, NotFound, Task, TaskStatus
from ..api.clock import steady_time
from ..finish.evidence import Reason
from ..run.leftovers import Leftover
from ..run.register import Submission
from .entries import Attempt, Status
from .job_log import JobLog, summed_up
from .live_record import LiveRecord
from .new_attempts import of_plan, of_reused, of_submission, of_task
from .task_news import live_status, news_of, status_without_job
from .words import money

_LONGEST_MESSAGE = 4000
_LONGEST_STDERR = 4000
"""Characters of them that are kept."""
_ABORTED = Reason.ABORTED.name.lower()
NOT_SUBMITTED = "not_submitted"
NOT_COLLECTED = "not_collected"
"""Reasons of failures that are none of a task: there was none yet, or it had succeeded."""


class Recorder:
    """Hears of all attempts of a run; the `Observer` of its steps."""

    def __init__(
        self,
        record: LiveRecord,
        page: Callable[[str], str],
        logger: logging.Logger,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        """`page` is the address of a task, `clock` tells seconds since the epoch."""
        self._record = record
        self._run = record.run.id
        self._page = page
        self._log = JobLog(logger)
        self._clock = clock

    # --------------------------------------------------------------------------- on their way

    def entered(self, submission: Submission) -> None:
        """A job has a task: a new one, that of an earlier run, or a part of a shared one."""
        task = submission.task
        assert task is not None
        if submission.own is None and submission.info is None:
            return  # a task for several jobs, which have entries of their own
        news: dict[str, Any] = {
            "status": live_status(task) or Status.QUEUED,
            **self._news(task),
        }
        known = self._record.of_task(task.id)
        if known is not None and known.status in (Status.FAILED, Status.CANCELLED):
            # Its job failed all the same. What it took goes with the attempt that has its results.
            self._record.change(known.id, price=None, started=None)
            known = None
        if known is None:
            new = of_submission(submission, self._run, **of_task(task, self._page), **news)
            submission.entry = self._record.add(new).id
        else:
            submission.entry = known.id
            if not known.mode:  # only the platform has told of it so far
                news |= of_plan(submission.plan, jobid=known.jobid, number=known.number)
            if submission.run != self._run:
                news["taken_up_by"] = self._run
            self._record.change(known.id, **news)

    def under_way(self, submission: Submission) -> None:
        """The task was started, or goes on; Snakemake is about to hear of it."""
        status = live_status(submission.task)
        attempt = self._change(
            submission, status=Status.QUEUED if status in (None, Status.SUBMITTED) else status
        )
        run = "" if submission.run == self._run else f" of the earlier run {submission.run}"
        self._log.tell(
            submission,
            attempt,
            f"Job {submission.plan.facts.jobid} ({submission.name}) is task {attempt.page}{run}",
        )

    def changed(self, submission: Submission, detail: str) -> None:
        """The platform shows another status than before; `detail` is what the task waits for."""
        assert submission.task is not None
        news = self._news(submission.task)
        attempt = self._change(submission, **news, **_status(live_status(submission.task)))
        waits = f" ({detail})" if detail else ""
        text = f"Task {submission.name}: {submission.status}{waits}"
        self._log.tell(submission, attempt, text)

    # ------------------------------------------------------------------------------ their ends

    def arriving(self, submission: Submission) -> None:
        """The outputs are about to appear: for Snakemake the job is then done, also if this process
        dies before `finished`.
        """
        self._change(submission, status=Status.DONE)

    def finished(self, submission: Submission, size: int | None) -> None:
        """The job has its outputs, of so many bytes, in place."""
        news = {} if submission.task is None else self._news(submission.task)
        attempt = self._change(
            submission,
            status=Status.DONE,
            bytes_out=size,
            measured=submission.measured,
            **news,
        )
        self._log.tell(
            submission, attempt, f"Task {submission.name}: COMPLETED{summed_up(attempt)}"
        )

    def reused(self, submission: Submission, earlier: Leftover | None = None) -> None:
        """The outputs are those of an earlier task, which is no task of this job; without one, they
        came from the between-workflow cache.
        """
        news = {} if earlier is None else of_reused(earlier, self._page, self._news(earlier.task))
        attempt = self._change(submission, status=Status.REUSED, ended=self._clock(), **news)
        told = "came from the cache"
        if earlier is not None:
            told = f"are those of task {attempt.page} of the run {earlier.mark.run}"
            if attempt.spared is not None:
                told += f", which cost {money(attempt.spared, attempt.currency)}"
        text = f"Job {attempt.jobid} ({submission.name}): its outputs {told}."
        self._log.tell(submission, attempt, text)

    def explained(
        self, submission: Submission, reason: str, *, exit_status: int | None, stderr: str
    ) -> None:
        """Why the job's task has failed, before `failed` tells that the attempt has."""
        measured = submission.measured
        if measured.exit_status is None:
            measured = replace(measured, exit_status=exit_status)
        self._change(
            submission, reason=reason, stderr_end=stderr[-_LONGEST_STDERR:], measured=measured
        )

    def failed(self, submission: Submission, message: str) -> None:
        """The attempt is over without success, for whatever reason; the job may have others."""
        task = submission.task
        news: dict[str, Any] = {} if task is None else self._news(task)
        news.setdefault("ended", self._clock())
        attempt = self._change(submission)
        reason = attempt.reason
        if not reason and task is None:
            reason = NOT_SUBMITTED
        elif not reason and task is not None and task.status == TaskStatus.COMPLETED:
            reason = NOT_COLLECTED
        attempt = self._change(
            submission,
            status=Status.CANCELLED if reason == _ABORTED else Status.FAILED,
            reason=reason,
            message=message.strip()[:_LONGEST_MESSAGE],
            **news,
        )
        why = f" ({reason.replace('_', ' ')})" if reason else ""
        what = f"Job {submission.title}" if task is None else f"Task {submission.name}"
        self._log.tell(submission, attempt, f"{what}: FAILED{why}{summed_up(attempt)}")
        submission.entry = ""  # what comes is another attempt

    def given_up(
        self, parent: Submission, answer: Task | ApiError | None, jobs: Iterable[Submission]
    ) -> None:
        """A task for several jobs was stopped before it could be followed."""
        known = [job for job in jobs if job.entry]
        for job in known:
            self._change(job, status=Status.CANCELLED, ended=self._clock())
            self.seen(job.task_id or "", answer)
            job.entry = ""
        task = answer if isinstance(answer, Task) else parent.task
        is_told = task is not None and any(one.parent == task.id for one in self._record.attempts)
        if task is not None and not known and not is_told:
            new = of_submission(parent, self._run, **of_task(task, self._page), **self._news(task))
            self._record.add(replace(new, kind="shared", status=Status.CANCELLED))

    def seen(self, task_id: str, answer: Task | ApiError | None) -> None:
        """How a task stands that nobody looks at any more, because it was stopped."""
        attempt = self._record.of_task(task_id)
        if attempt is None:
            return
        if not isinstance(answer, Task):
            if isinstance(answer, NotFound) and not attempt.status.is_over:
                self._record.change(attempt.id, status=Status.CANCELLED)
            return
        task = answer.model_copy(update={"id": task_id})
        status = attempt.status if attempt.status.is_over else status_without_job(task)
        self._record.change(attempt.id, **_status(status), **self._news(task))

    # ------------------------------------------------------------------------------- entries

    def _change(self, submission: Submission, **changes: Any) -> Attempt:
        """Note what is new of a job's attempt; how it stands then."""
        if not submission.entry:
            submission.entry = self._record.add(of_submission(submission, self._run)).id
        return self._record.change(submission.entry, **changes)

    def _news(self, task: Task) -> dict[str, Any]:
        return news_of(task, self._clock())


def _status(status: Status | None) -> dict[str, Status]:
    return {} if status is None else {"status": status}
