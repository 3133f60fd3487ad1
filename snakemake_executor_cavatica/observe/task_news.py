"""What a task's document tells of the attempt that it is. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from ..api.models import Task, TaskStatus
from ..translate.app import app_name, name_in
from ..translate.job_key import number_of_jobs
from ..translate.shared_task import is_packed_job
from .entries import Status

_MILLI = 1000
_SHARED = re.compile(r"[0-9]+ jobs\]")
_LIVE = {
    TaskStatus.DRAFT: Status.SUBMITTED,
    TaskStatus.CREATING: Status.SUBMITTED,
    TaskStatus.QUEUED: Status.QUEUED,
    TaskStatus.RUNNING: Status.RUNNING,
    TaskStatus.ABORTING: Status.RUNNING,
}
_ENDED = {
    TaskStatus.COMPLETED: Status.LEFT,
    TaskStatus.FAILED: Status.FAILED,
    TaskStatus.ABORTED: Status.CANCELLED,
}


def news_of(task: Task, now: float) -> dict[str, Any]:
    """Fields of the attempt, as far as the document tells them; its status is not among them.

    Args:
        now: seconds since the epoch, by our clock.
    """
    news = {
        "app": task.app,
        "spot": task.use_interruptible_instances,
        **_times(task, now),
        **_price(task),
    }
    return {name: value for name, value in news.items() if value is not None}


def job_in_name(task: Task, jobid: str = "") -> tuple[str, dict[str, str]]:
    """Rule and wildcards, as a task's name tells them; else Snakemake's number stands for these.

    Names of tasks that jobs share do not tell, and people may give others (`--jobname`): then only
    the name of the app tells the rule.
    """
    rule, _, rest = task.name.partition(" [")
    app = name_in(task.app or "")
    is_ours = not app or app == app_name(rule)
    if not is_ours or _SHARED.match(rest):
        return rule if is_ours else app.removeprefix("snakemake-"), {"job": jobid} if jobid else {}
    pairs = [pair.partition("=") for pair in rest.removesuffix("]").split(", ") if "=" in pair]
    return rule or "?", {name: value for name, _, value in pairs}


def live_status(task: Task | None) -> Status | None:
    """The status of an attempt whose task goes on; None if it does not, or has one that is new."""
    return _LIVE.get(task.known_status) if task is not None and task.known_status else None


def status_without_job(task: Task) -> Status | None:
    """The status of an attempt that nobody waits for any more; None if its task goes on."""
    return _ENDED.get(task.known_status) if task.known_status else None


def status_by_task(task: Task) -> Status:
    """The status of an attempt of which its task alone tells: what has completed is done."""
    status = live_status(task) or status_without_job(task) or Status.QUEUED
    return Status.DONE if status is Status.LEFT else status


def _times(task: Task, now: float) -> dict[str, float | None]:
    """By the platform's count of how long the task has waited and run (documented).

    Its `start_time` may be that of the queue, so it serves only where the counts are missing.
    """
    ended = _seconds(task.end_time)
    running, queued = _durations(task)
    until = now if ended is None else ended
    if running is None:
        has_run = task.known_status in (TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.FAILED)
        started = _seconds(task.start_time) if has_run else None
    else:
        started = until - running if running > 0 else None
    if queued is None:
        since = _seconds(task.created_time)
    else:
        since = (until if started is None else started) - queued
    return {"queued": since, "started": started, "ended": ended}


def _durations(task: Task) -> tuple[float | None, float | None]:
    status = task.execution_status
    if status is None:
        return None, None
    return _as_seconds(status.running_duration), _as_seconds(status.queued_duration)


def _as_seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None or milliseconds < 0 else milliseconds / _MILLI


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _price(task: Task) -> dict[str, Any]:
    """A job that shares its task costs the same part of it as each of the others."""
    if task.price is None or task.price.amount is None or not task.is_terminal:
        return {}  # whether one is told while a task runs, and which, is not known
    jobs = number_of_jobs(task) if is_packed_job(task.id) else 1
    return {"price": task.price.amount / jobs, "currency": task.price.currency or ""}
