"""Brings up to date what a record tells of tasks that nobody follows any more."""

from __future__ import annotations

import time
from dataclasses import replace

from ..api import ApiError, Client, NotFound, Task
from ..run.tasks_of_runs import TASK_FIELDS, tasks_as_seen
from ..translate.shared_task import packed_job_of, task_id_of
from . import task_news
from .entries import Attempt, Status
from .standing import is_open, standing_by_tasks
from .told import Told


def refreshed(told: Told, client: Client) -> Told:
    """With the tasks that may go on as the platform now shows them: a request for each hundred.

    Raises:
        CavaticaError: the platform does not answer.
    """
    tasks = {task_id_of(one.task) for one in told.attempts if one.task and is_open(one)}
    answers = tasks_as_seen(client, told.run.project, tasks, fields=TASK_FIELDS) if tasks else {}
    now = time.time()
    attempts = tuple(
        _seen(one, answers.get(task_id_of(one.task)), now) if one.task and is_open(one) else one
        for one in told.attempts
    )
    left = [now for one, now in zip(told.attempts, attempts, strict=True) if is_open(one)]
    return replace(told, attempts=attempts, standing=standing_by_tasks(told.standing, left))


def _seen(attempt: Attempt, answer: Task | ApiError | None, now: float) -> Attempt:
    if isinstance(answer, NotFound):
        return replace(attempt, status=Status.CANCELLED)
    if not isinstance(answer, Task):
        return attempt
    assert attempt.task is not None
    task = packed_job_of(answer, attempt.task, {}) if attempt.shared == "pack" else answer
    status = task_news.live_status(task) or task_news.status_without_job(task)
    return replace(attempt, status=status or attempt.status, **task_news.news_of(task, now))
