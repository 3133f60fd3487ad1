"""How tasks are aborted, and what is said of those of which that is not known."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from .api import ApiError, BadRequest, CavaticaError, Client, NotFound, Task, TaskStatus
from .run import Register
from .succession import Succession

_ABORT_THREADS = 8
_ASK_AGAIN = 5.0
"""Seconds until a request to abort that has changed nothing is made again."""
_LAST_TRY = 10.0
"""Seconds to see that a task has been aborted before its job is reported as failed."""


Answer = Task | ApiError | None
"""The last that was heard of a task; None if nothing could be heard."""


def stop_all(
    client: Client, tasks: Iterable[str], *, timeout: float, hurry: threading.Event | None = None
) -> dict[str, Answer]:
    """Abort tasks, see that they have ended, and return the last answer about each.

    Asked again and again until `timeout` (seconds), since a request to abort may get lost. Those
    that `has_ended` is not true for may still run. With `hurry` they are asked once.
    """
    hurry = hurry or threading.Event()
    began = time.monotonic()
    answers: dict[str, Answer] = dict.fromkeys(tasks)
    asked: dict[str, float] = {}
    with ThreadPoolExecutor(_ABORT_THREADS) as pool:
        while True:
            now = time.monotonic()
            alive = [task for task, answer in answers.items() if not has_ended(answer)]
            silent = [
                task
                for task in alive
                if not _is_ending(answers[task]) and now - asked.get(task, -math.inf) > _ASK_AGAIN
            ]
            asked |= dict.fromkeys(silent, now)
            list(pool.map(partial(_abort, client), silent))
            with suppress(CavaticaError):
                answers |= client.get_tasks(alive)
            is_late = time.monotonic() - began > timeout
            if is_late or hurry.is_set() or all(map(has_ended, answers.values())):
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


class Stopper:
    """Stops the tasks of a run."""

    def __init__(
        self,
        client: Client,
        register: Register,
        succession: Succession,
        *,
        page: Callable[[str], str],
        timeout: float,
        logger: Any,
    ) -> None:
        """Args:
        client: one that gives up soon.
        page: the address of a task by its id.
        timeout: seconds until a task that does not stop is given up.
        """
        self._client = client
        self._register = register
        self._succession = succession
        self._page = page
        self._timeout = timeout
        self._logger = logger
        self._hurry = threading.Event()

    def hurry(self) -> None:
        """Do not wait to see whether tasks have stopped."""
        self._hurry.set()

    def stop(self, tasks: Sequence[str]) -> None:
        """Abort tasks, and name those that could not be stopped."""
        answers: Mapping[str, Answer] = dict.fromkeys(tasks)
        try:
            answers = stop_all(self._client, tasks, timeout=self._timeout, hurry=self._hurry)
        finally:
            self._take_note(answers)

    def _take_note(self, answers: Mapping[str, Answer]) -> None:
        """What has ended is nobody's concern, unless it has a result that may be fetched later."""
        over = {
            task for task, answer in answers.items() if has_ended(answer) and not has_result(answer)
        }
        orphans = self._succession.orphans
        orphans.forget(over)
        for orphan in orphans.left:
            answer = answers.get(orphan.task.id)
            if isinstance(answer, Task):
                orphans.add(answer, is_whole=orphan.is_whole)
        for submission in self._register.live:
            if submission.task_id in over:
                self._register.leave(submission)
        alive = [task for task, answer in answers.items() if not has_ended(answer)]
        if alive:
            self._logger.error(
                "It is not known whether these tasks have stopped; look at them, they may cost "
                f"money:\n{self._list(alive)}"
            )

    def give_up(self, task: Task) -> str:
        """Stop a task that its job does not wait for; what to say if that cannot be done.

        If it goes on, or has a result by now, the job's next attempt takes it up.
        """
        answer = stop_all(self._client, [task.id], timeout=_LAST_TRY)[task.id]
        if has_ended(answer) and not has_result(answer):
            return ""
        self._succession.orphans.add(answer if isinstance(answer, Task) else task)
        if has_ended(answer):
            return ""
        return f"Its task may still be running, and cost money: {self._page(task.id)}\n"

    def stop_orphans(self, own_run: str, jobs: Collection[str]) -> None:
        """At the end: stop what nobody waits for, or else say what goes on.

        What earlier runs have left, and no job of this one needed, goes on: another run may ask
        for it. Tasks of `jobs` are stopped, whoever has started them.
        """
        live = [one for one in self._succession.orphans.left if one.is_live]
        unneeded = [one for one in live if one.mark.run != own_run and one.mark.key.job not in jobs]
        stopped = [one.task.id for one in live if one not in unneeded]
        if stopped:
            self.stop(stopped)
        if unneeded:
            self._logger.warning(
                "These tasks of earlier runs may still be running, and cost money; no job of this "
                "run needed them. A run that does takes them up:\n"
                + self._list(one.task.id for one in unneeded)
            )

    def _list(self, tasks: Iterable[str]) -> str:
        return "\n".join(f"  {self._page(task)}" for task in tasks)
