"""How tasks are aborted, and what is said of those of which that is not known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from .api import ApiError, BadRequest, CavaticaError, Client, NotFound, Task, TaskStatus
from .run import Register
from .succession import Succession

_ABORT_THREADS = 8
_LAST_TRY = 10.0
"""Seconds to see that a task has been aborted before its job is reported as failed."""


Answer = Task | ApiError | None
"""The last that was heard of a task; None if nothing could be heard."""


def stop_all(client: Client, tasks: Iterable[str], *, timeout: float) -> dict[str, Answer]:
    """Abort tasks, see that they have ended, and return the last answer about each.

    Asked again and again until `timeout` (seconds), since a request to abort may get lost. Those
    that `has_ended` is not true for may still run.
    """
    deadline = time.monotonic() + timeout
    answers: dict[str, Answer] = dict.fromkeys(tasks)
    with ThreadPoolExecutor(_ABORT_THREADS) as pool:
        while True:
            alive = [task for task, answer in answers.items() if not has_ended(answer)]
            list(pool.map(partial(_abort, client), alive))
            with suppress(CavaticaError):
                answers |= client.get_tasks(alive)
            if all(map(has_ended, answers.values())) or time.monotonic() > deadline:
                return answers
            time.sleep(1.0)


def _abort(client: Client, task: str) -> None:
    """Ask for it; whether it worked is seen by the status afterwards."""
    with suppress(CavaticaError):
        try:
            client.abort_task(task)
        except BadRequest:
            # Drafts cannot be aborted, and must not be left to be started by hand.
            if client.get_task(task).status == TaskStatus.DRAFT:
                client.delete_task(task, missing_ok=True)


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

    def stop(self, tasks: Sequence[str]) -> None:
        """Abort tasks, and name those that could not be stopped."""
        answers: Mapping[str, Answer] = dict.fromkeys(tasks)
        try:
            answers = stop_all(self._client, tasks, timeout=self._timeout)
        finally:
            for submission in self._register.live:
                answer = answers.get(submission.task_id or "")
                if has_ended(answer) and not has_result(answer):
                    self._register.leave(submission)
            self._succession.orphans.forget(task for task in tasks if has_ended(answers[task]))
            alive = [task for task in tasks if not has_ended(answers[task])]
            if alive:
                self._logger.error(
                    "It is not known whether these tasks have stopped; look at them, they may "
                    f"cost money:\n{self._list(alive)}"
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

    def stop_orphans(self, *, all_of_them: bool) -> None:
        """At the end: stop what nobody waits for, or else say what goes on.

        What earlier runs have left, and no job of this one needed, may go on at the end of a run
        in order: another run may ask for it again. Unless `all_of_them` are to be stopped.
        """
        live = [one for one in self._succession.orphans.left if one.is_live]
        earlier = self._succession.predecessors
        unneeded = [one for one in live if one.mark.run in earlier and not all_of_them]
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
