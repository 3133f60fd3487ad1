"""How tasks are aborted, and what is said of those of which that is not known."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from ..api import ApiError, BadRequest, CavaticaError, Client, NotFound, Stop, Task, TaskStatus
from ..translate.shared_task import is_packed_job, packed_job_of, task_id_of
from .context import RunContext
from .leftovers import Leftover
from .tasks_of_runs import tasks_as_seen

_ABORT_THREADS = 8
_ASK_AGAIN = 5.0
"""Seconds until a request to abort that has changed nothing is made again."""
_LAST_TRY = 10.0
"""Seconds to see that a task has been aborted before its job is reported as failed."""
_PATIENCE = 60.0
"""Seconds to wait for tasks to have stopped before saying that they did not."""
_LOCAL_PATIENCE = 10.0

Answer = Task | ApiError | None
"""The last that was heard of a task; None if nothing could be heard."""


def abort_patience(*, local: bool) -> float:
    """Seconds until a task that does not stop is given up."""
    return _LOCAL_PATIENCE if local else _PATIENCE


def stop_all(
    client: Client,
    project: str,
    tasks: Iterable[str],
    *,
    timeout: float,
    hurry: Stop | None = None,
    batches: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Answer]:
    """Abort tasks of a project, see that they have ended, and return the last answer about each.

    Asked again and again until `timeout` (seconds), since a request to abort may get lost. Those
    that `has_ended` is not true for may still run. With `hurry` they are asked once.

    Args:
        batches: of children that are to end with all of their batch, the batch's task: one request
            for all of them, before they are asked one by one.
    """
    hurry = hurry or Stop()
    began = time.monotonic()
    answers: dict[str, Answer] = dict.fromkeys(tasks)
    # What other jobs share goes on, unless all of them are to be stopped.
    lasting = {task for task in answers if is_packed_job(task) and task not in batches}
    asked: dict[str, float] = {}
    with ThreadPoolExecutor(_ABORT_THREADS) as pool:
        while True:
            now = time.monotonic()
            alive = [task for task, answer in answers.items() if not has_ended(answer)]
            silent = [
                task
                for task in alive
                if task not in lasting
                and not _is_ending(answers[task])
                and now - asked.get(task, -math.inf) > _ASK_AGAIN
            ]
            first = [task for task in silent if task not in asked]
            wanted = {batches.get(task, task) for task in first}
            wanted |= {task_id_of(task) for task in silent if task not in first}
            asked |= dict.fromkeys(silent, now)
            list(pool.map(partial(_abort, client), wanted))
            with suppress(CavaticaError):
                seen = tasks_as_seen(client, project, map(task_id_of, alive))
                answers |= {task: seen[task_id_of(task)] for task in alive}
            is_late = time.monotonic() - began > timeout
            is_over = all(task in lasting or has_ended(one) for task, one in answers.items())
            if is_late or hurry.is_set() or is_over:
                return answers
            hurry.wait(min(0.5 + (now - began) / 4, 5.0))


def _abort(client: Client, task: str) -> None:
    """Ask for it; whether it worked is seen by the status afterwards."""
    with suppress(CavaticaError):
        try:
            client.abort_task(task)
        except BadRequest:
            # Drafts cannot be aborted, and must not be left to be started by hand.
            if client.get_task(task).status == TaskStatus.DRAFT:
                client.delete_task(task, missing_ok=True)


def _is_ending(answer: Answer) -> bool:
    return isinstance(answer, Task) and answer.status == TaskStatus.ABORTING


def has_ended(answer: Answer) -> bool:
    """Whether a task will cost no more."""
    if isinstance(answer, Task):
        return answer.is_terminal
    return isinstance(answer, NotFound)


def has_result(answer: Answer) -> bool:
    """Whether a task was faster than the request to abort it."""
    return isinstance(answer, Task) and answer.status == TaskStatus.COMPLETED


def _as_seen(leftover: Leftover, answer: Answer) -> Leftover:
    """With the task as the platform now shows it, if it does."""
    if not isinstance(answer, Task):
        return leftover
    known = leftover.task.id
    task = packed_job_of(answer, known, leftover.names) if is_packed_job(known) else answer
    return replace(leftover, task=task)


class Stopper:
    """Stops the tasks of a run."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self._client = run.connection.watcher  # it gives up soon
        self._timeout = abort_patience(local=run.connection.is_local)
        self._hurry = Stop()

    def hurry(self) -> None:
        """Do not wait to see whether tasks have stopped."""
        self._hurry.set()

    def stop(self, tasks: Sequence[str]) -> None:
        """Abort tasks, and name those that could not be stopped."""
        answers: Mapping[str, Answer] = dict.fromkeys(tasks)
        try:
            answers = stop_all(
                self._client,
                self._run.home.project,
                tasks,
                timeout=self._timeout,
                hurry=self._hurry,
                batches=self._whole_batches(set(tasks)),
            )
        finally:
            self._take_note(answers)

    def _whole_batches(self, tasks: set[str]) -> dict[str, str]:
        """Which of the tasks are children of batches all of whose live children are among them."""
        ours = (one.task for one in self._run.register.live)
        theirs = (one.task for one in self._run.takeover.leftovers.left if one.is_live)
        batches: defaultdict[str, set[str]] = defaultdict(set)
        for task in (*ours, *theirs):
            if task is not None and task.parent is not None:
                batches[task.parent].add(task.id)
        return {
            child: batch
            for batch, children in batches.items()
            if children <= tasks
            for child in children
        }

    def _take_note(self, answers: Mapping[str, Answer]) -> None:
        """What has ended is nobody's concern, unless it has a result that may be fetched later."""
        for task, answer in answers.items():
            self._run.observer.seen(task, answer)
        over = {
            task for task, answer in answers.items() if has_ended(answer) and not has_result(answer)
        }
        leftovers = self._run.takeover.leftovers
        leftovers.forget(over)
        for leftover in leftovers.left:
            if leftover.task.id in answers:
                leftovers.add(_as_seen(leftover, answers[leftover.task.id]))
        for submission in self._run.register.live:
            if submission.task_id in over:
                self._run.register.leave(submission)
                if submission.info is None and submission.own is None:
                    self._run.observer.given_up(submission, answers[submission.task_id], ())
        alive = [task for task, answer in answers.items() if not has_ended(answer)]
        if alive:
            self._run.logger.error(
                "It is not known whether these tasks have stopped; they may go on"
                f"{self._run.costs}. Look at them:\n{self._list(alive)}"
            )

    def give_up(self, leftover: Leftover) -> str:
        """Stop a task that its job does not wait for; what to say if that cannot be done.

        If it goes on, or has a result by now, the job's next attempt takes it up.
        """
        task = leftover.task.id
        project = self._run.home.project
        answer = stop_all(self._client, project, [task], timeout=_LAST_TRY)[task]
        self._run.observer.seen(task, answer)
        if has_ended(answer) and not has_result(answer):
            return ""
        self._run.takeover.leftovers.add(_as_seen(leftover, answer))
        if has_ended(answer):
            return ""
        return f"Its task may still be running{self._run.costs}: {self._run.page(task)}\n"

    def stop_leftovers(self, jobs: Collection[str]) -> None:
        """At the end: stop what nobody waits for, or else say what goes on.

        What earlier runs have left, and no job of this one needed, goes on: another run may ask
        for it. Tasks of `jobs` are stopped, whoever has started them.
        """
        live = [one for one in self._run.takeover.leftovers.left if one.is_live]
        unneeded = [
            one for one in live if one.mark.run != self._run.id and one.mark.key.job not in jobs
        ]
        stopped = [one.task.id for one in live if one not in unneeded]
        if stopped:
            self.stop(stopped)
        if unneeded:
            self._run.logger.warning(
                f"These tasks of earlier runs may still be running{self._run.costs}; no job of "
                "this run needed them. A run that does takes them up:\n"
                + self._list(one.task.id for one in unneeded)
            )

    def _list(self, tasks: Iterable[str]) -> str:
        return "\n".join(f"  {self._run.page(task)}" for task in tasks)
