"""The attempts that tasks are, as far as the platform alone tells: also those that share a task."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from ..api import Task
from ..api.call import BULK, PAGE
from ..project.connection import Connection
from ..run.tasks_of_runs import TASK_FIELDS, packed_jobs
from ..translate.job_key import task_mark_of
from . import task_news
from .entries import Attempt

MOST_DETAILS = 20
"""Requests for what is inside of tasks that several jobs share."""


class AttemptsOfTasks:
    """Reads tasks of one project. What it asks for besides them is bounded."""

    def __init__(self, connection: Connection, project: str, *, details: int) -> None:
        """`details` is how many requests may be made for what is inside of tasks."""
        self._connection = connection
        self._client = connection.watcher
        self._project = project
        self._left = details

    def of(self, run: str, tasks: Iterable[Task]) -> list[Attempt]:
        """What the tasks of a run are, in the order in which they were queued."""
        own = [task for task in tasks if task.parent is None]  # not all platforms list children
        packs = self._packed(own)
        attempts = [one for task in own for one in self._of_task(run, task, packs)]
        return sorted(attempts, key=lambda one: one.queued or 0.0)

    def _of_task(self, run: str, task: Task, packs: Mapping[str, Task]) -> Iterator[Attempt]:
        mark = task_mark_of(task)
        if mark is not None:
            yield self.one(task, run=run, jobid=mark.jobid, number=mark.attempt)
        elif task.id in packs:
            for job in packed_jobs(task, packs[task.id], are_in_place=True):
                mark = job.mark
                one = self.one(job.task, run=run, jobid=mark.jobid, number=mark.attempt)
                yield replace(one, shared="pack", parent=task.id)
        elif task.batch and self._left > 0:
            for child in self._children(task):
                yield self.one(child, run=run)
        else:
            # Not looked into: it counts as one job.
            yield replace(self.one(task, run=run), shared="batch" if task.batch else "pack")

    def _children(self, batch: Task) -> list[Task]:
        listed = self._client.list_tasks(parent=batch.id, fields=TASK_FIELDS)
        children = list(islice(listed, self._left * PAGE))
        self._left -= max(1, -(-len(children) // PAGE))
        return children

    def _packed(self, tasks: Iterable[Task]) -> dict[str, Task]:
        """Packs with all that they were sent, as many as one request brings."""
        packs = [one.id for one in tasks if task_mark_of(one) is None and not one.batch]
        if not packs or self._left <= 0:
            return {}
        self._left -= 1
        answers = self._client.get_tasks(packs[:BULK])
        return {name: one for name, one in answers.items() if isinstance(one, Task)}

    def one(self, task: Task, *, run: str, jobid: str = "", number: int = 1) -> Attempt:
        """The attempt that a task, or a child of a batch, is."""
        rule, wildcards = task_news.job_in_name(task, jobid)
        return Attempt(
            id=task.id,
            run=run,
            jobid=jobid,
            number=number,
            rule=rule,
            wildcards=wildcards,
            task=task.id,
            page=self._connection.task_page(self._project, task.id),
            parent=task.parent,
            shared="" if task.parent is None else "batch",
            status=task_news.status_by_task(task),
            **task_news.news_of(task, time.time()),
        )
