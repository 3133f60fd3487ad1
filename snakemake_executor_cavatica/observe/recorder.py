"""Writes down what becomes of each job, and tells it in the log, while a run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..api import ApiError, NotFound, Task, TaskStatus
from ..finish.evidence import Reason
from ..plan.plan import JobPlan
from ..read.snakemake_jobs import members_of
from ..run.leftovers import Leftover
from ..run.register import Submission
from ..translate.shared_task import is_packed_job
from . import task_news
from .entries import Attempt, Status
from .events import KEY, remote_job_state
from .live_record import LiveRecord

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        page: the address of a task.
        clock: seconds since the epoch.
        """
        self._record = record
        self._page = page
        self._logger = logger
        self._clock = clock

    @property
    def _run(self) -> str:
        return self._record.run.id

    # --------------------------------------------------------------------------- on their way

    def entered(self, submission: Submission) -> None:
        """A job has a task: a new one, that of an earlier run, or a part of a shared one."""
        task = submission.task
        assert task is not None
        if submission.own is None and submission.info is None:
            return  # a task for several jobs, which have entries of their own
        news: dict[str, Any] = {
            "status": task_news.live_status(task) or Status.QUEUED,
            **self._news(task),
        }
        known = self._record.of_task(task.id)
        if known is not None and known.status in (Status.FAILED, Status.CANCELLED):
            # Its job failed all the same. What it took goes with the attempt that has its results.
            self._record.change(known.id, price=None, started=None)
            known = None
        if known is None:
            new = self._new(submission, **self._of_task(task), **news)
            submission.entry = self._record.add(new).id
        else:
            submission.entry = known.id
            if not known.mode:  # only the platform has told of it so far
                news |= _of_plan(submission.plan, jobid=known.jobid, number=known.number)
            if submission.run != self._run:
                news["taken_up_by"] = self._run
            self._record.change(known.id, **news)

    def under_way(self, submission: Submission) -> None:
        """The task was started, or goes on; Snakemake is about to hear of it."""
        status = _live(submission)
        attempt = self._change(
            submission, status=Status.QUEUED if status in (None, Status.SUBMITTED) else status
        )
        run = "" if submission.run == self._run else f" of the earlier run {submission.run}"
        self._tell(
            submission,
            attempt,
            f"Job {_jobid(submission)} ({submission.name}) is task {attempt.page}{run}",
        )

    def changed(self, submission: Submission, detail: str) -> None:
        """The platform shows another status than before; `detail` is what the task waits for."""
        assert submission.task is not None
        news = self._news(submission.task)
        attempt = self._change(submission, **news, **_status(_live(submission)))
        waits = f" ({detail})" if detail else ""
        text = f"Task {submission.name}: {submission.status}{waits}"
        self._tell(submission, attempt, text)

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
        self._tell(submission, attempt, f"Task {submission.name}: COMPLETED{_summed_up(attempt)}")

    def reused(self, submission: Submission) -> None:
        """The outputs came from the between-workflow cache: there is no task."""
        new = self._record.add(self._new(submission, status=Status.REUSED, ended=self._clock()))
        submission.entry = new.id
        text = f"Job {new.jobid} ({submission.name}): its outputs came from the cache."
        self._tell(submission, new, text)

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
        self._tell(submission, attempt, f"{what}: FAILED{why}{_summed_up(attempt)}")
        submission.entry = ""  # what comes is another attempt

    def given_up(
        self, parent: Submission, answer: Task | ApiError | None, jobs: Iterable[Submission]
    ) -> None:
        """A task for several jobs was stopped before it could be followed; they start anew."""
        known = [job for job in jobs if job.entry]
        for job in known:
            self._change(job, status=Status.CANCELLED, ended=self._clock())
            self.seen(job.task_id or "", answer)
            job.entry = ""
        task = answer if isinstance(answer, Task) else parent.task
        if task is not None and not known:
            new = self._new(parent, **self._of_task(task), **self._news(task))
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
        status = attempt.status if attempt.status.is_over else task_news.status_without_job(task)
        self._record.change(attempt.id, **_status(status), **self._news(task))

    def inherited(self, leftover: Leftover, *, is_reported: bool) -> None:
        """A task of an interrupted run that this one takes up, and whether its job is finished."""
        task = leftover.task
        known = self._record.of_task(task.id)
        if known is None and task.status != TaskStatus.DRAFT:
            known = self._record.add(self._new_of(leftover))
        if known is not None and is_reported and task.status == TaskStatus.COMPLETED:
            self._record.change(known.id, status=Status.DONE, **self._news(task))
        else:
            self.seen(task.id, task)

    def end(self, outcome: str, limit_reached: float | None) -> None:
        """The run is over; what it leaves is told as that."""
        for attempt in self._record.attempts:
            if attempt.status is Status.SUBMITTED:  # a draft, which is removed
                self._record.change(attempt.id, status=Status.CANCELLED)
            elif not attempt.status.is_over:
                self._record.change(attempt.id, status=Status.LEFT)
        self._record.end(ended=self._clock(), outcome=outcome, limit_reached=limit_reached)

    # ------------------------------------------------------------------------------- entries

    def _change(self, submission: Submission, **changes: Any) -> Attempt:
        """Note what is new of a job's attempt; how it stands then."""
        if not submission.entry:
            submission.entry = self._record.add(self._new(submission)).id
        return self._record.change(submission.entry, **changes)

    def _news(self, task: Task) -> dict[str, Any]:
        return task_news.news_of(task, self._clock())

    def _of_task(self, task: Task) -> dict[str, Any]:
        return {
            "task": task.id,
            "page": self._page(task.id),
            "parent": task.parent,
            "shared": _shared(task),
        }

    def _new(self, submission: Submission, **known: Any) -> Attempt:
        """An attempt, as far as its job tells what it is."""
        plan, mark = submission.planned, submission.mark
        of_job = _of_plan(plan) if plan is not None else _of_job(submission)
        if mark is not None and mark.run != self._run:
            of_job |= {"run": mark.run, "jobid": mark.jobid, "number": mark.attempt}
            of_job["taken_up_by"] = self._run
        if submission.own is not None:
            of_job["kind"] = "environment"
        return Attempt(
            **{"id": "", "run": self._run, "submitted": submission.since, **of_job, **known}
        )

    def _new_of(self, leftover: Leftover) -> Attempt:
        """An attempt of an earlier run on another machine, of which only the platform knows."""
        rule, wildcards = task_news.job_in_name(leftover.task, leftover.mark.jobid)
        return Attempt(
            id="",
            run=leftover.mark.run,
            jobid=leftover.mark.jobid,
            number=leftover.mark.attempt,
            rule=rule,
            wildcards=wildcards,
            **self._of_task(leftover.task),
        )

    # ---------------------------------------------------------------------------------- told

    def _tell(self, submission: Submission, attempt: Attempt, text: str) -> None:
        """Say it in the log, with what logger plugins can read."""
        members = [] if submission.info is None else members_of(submission.info.job)
        if not members:
            self._logger.info(text)
        for member in members:
            state = remote_job_state(
                attempt,
                int(member.jobid),
                remote_status=submission.task.status if submission.task else "",
                members=len(members),
            )
            of_member = f" (job {member.jobid})" if len(members) > 1 else ""
            self._logger.info(f"{text}{of_member}", extra={KEY: state} if state else None)


def _jobid(submission: Submission) -> str:
    return submission.plan.facts.jobid


def _live(submission: Submission) -> Status | None:
    return task_news.live_status(submission.task) if submission.task is not None else None


def _status(status: Status | None) -> dict[str, Status]:
    return {} if status is None else {"status": status}


def _shared(task: Task) -> str:
    if task.parent is None:
        return ""
    return "pack" if is_packed_job(task.id) else "batch"


def _of_plan(plan: JobPlan, **known: Any) -> dict[str, Any]:
    facts, resources = plan.facts, plan.resources
    sizes = [staged.size for staged in plan.inputs]
    return {
        "jobid": facts.jobid,
        "rule": facts.rule,
        "wildcards": dict(facts.wildcards),
        "number": facts.attempt,
        "kind": "group" if facts.directive == "group" else "job",
        "mode": str(plan.mode),
        "image": plan.image if plan.in_container else None,
        "cores": resources.cores,
        "memory_mib": resources.memory_mib,
        "disk_mib": resources.disk_mib,
        "instance": plan.settings.instance_type,
        "spot": plan.settings.interruptible,
        "bytes_in": sum(sizes) if all(sizes) else None,
        **known,
    }


def _of_job(submission: Submission) -> dict[str, Any]:
    """Of a job that could not be planned, or of a task for several jobs."""
    if submission.info is None:
        return {"jobid": "", "rule": submission.name}
    job = submission.info.job
    is_group = job.is_group()
    return {
        "jobid": str(job.jobid),
        "rule": str(job.groupid) if is_group else job.rule.name,
        "wildcards": {} if is_group else dict(job.wildcards_dict),
        "number": job.attempt,
        "kind": "group" if is_group else "job",
    }


def _summed_up(attempt: Attempt) -> str:
    """How long the attempt waited and ran, and what it cost."""
    parts = []
    if attempt.run_seconds is not None:
        parts.append(f"ran {attempt.run_seconds:.0f} s")
    if attempt.queue_seconds is not None:
        parts.append(f"waited {attempt.queue_seconds:.0f} s")
    if attempt.price is not None:
        parts.append(f"{attempt.price:.2f} {attempt.currency}".rstrip())
    return f", {', '.join(parts)}" if parts else ""
