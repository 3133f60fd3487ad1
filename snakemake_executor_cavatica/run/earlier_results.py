"""Completed tasks of earlier runs in the project, by whomever, for jobs that need the same."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from itertools import islice

from ..api import Client, Task, TaskStatus
from ..translate.app import name_in
from ..translate.job_key import run_of, task_mark_of
from .leftovers import Leftover
from .tasks_of_runs import TASK_FIELDS, TasksOfRuns

MOST_TASKS = 10_000
"""The newest ones, a hundred in each request."""
MOST_SHARED = 100
"""Of one rule, the newest: each takes a request or two to tell its jobs."""


class EarlierResults:
    """What tasks have made, by reuse key. Safe to use from several threads.

    Listed once, when the first job asks: that is the time of what counts as earlier.
    """

    def __init__(self, client: Client, project: str, logger: logging.Logger) -> None:
        self._client = client
        self._project = project
        self._logger = logger
        self._lock = threading.Lock()
        self._found: defaultdict[str, list[Leftover]] | None = None
        self._shared: defaultdict[str, list[Task]] = defaultdict(list)
        """Tasks for several jobs that nobody has looked into, by the names of their apps."""

    def of(self, key: str, app: str) -> list[Leftover]:
        """The tasks that have made what this reuse key stands for, the newest first.

        Args:
            app: the name of the rule's app, which is that of tasks of several such jobs.

        Raises:
            CavaticaError: they cannot be listed.
        """
        with self._lock:
            if self._found is None:
                self._found = self._listed()
            for task in self._shared.pop(app, [])[:MOST_SHARED]:
                for one in TasksOfRuns(self._client, self._project).jobs_of(task):
                    if one.mark.reuse and one.task.status == TaskStatus.COMPLETED:
                        self._found[one.mark.reuse].append(one)
            return list(self._found.get(key, ()))

    def _listed(self) -> defaultdict[str, list[Leftover]]:
        found: defaultdict[str, list[Leftover]] = defaultdict(list)
        tasks = self._client.list_tasks(
            project=self._project,
            status=str(TaskStatus.COMPLETED),
            order="desc",
            fields=TASK_FIELDS,
        )
        newest = list(islice(tasks, MOST_TASKS))
        for task in newest:
            mark = task_mark_of(task)
            if mark is not None and mark.reuse:
                found[mark.reuse].append(Leftover(task.bare, mark))
            elif mark is None and task.parent is None and run_of(task) is not None:
                self._shared[name_in(task.app or "")].append(task)
        self._logger.info(
            f"Results of earlier runs may be taken (--cavatica-reuse): {len(newest)} "
            f"completed tasks in {self._project} were looked through."
            + (" Older ones were not." if len(newest) == MOST_TASKS else "")
        )
        return found
