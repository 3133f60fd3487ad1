"""The jobs that are under way: who is where between Snakemake and the platform.

Snakemake's base class keeps a list of active jobs, but empties it for the length of every poll.
Nothing that matters at Ctrl-C may rest on it, so the register here is the one that counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .api import ApiError, BadRequest, CavaticaError, Client, NotFound, Task
from .plan import JobPlan
from .watch import Silence

ABORT_TIMEOUT = 60.0
"""Seconds to wait for tasks to have stopped before saying that they did not."""
_ABORT_THREADS = 8


@dataclass
class Submission:
    """One attempt at one job."""

    info: Any
    """Snakemake's SubmittedJobInfo."""
    plan: JobPlan
    name: str
    task_id: str | None = None
    status: str = ""
    silence: Silence = field(default_factory=lambda: Silence(local=False))
    """How long the platform has told nothing about this very task."""


class Register:
    """Every task that this run has created and that may still be alive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, Submission] = {}
        self._closed = False

    def enter(self, submission: Submission) -> bool:
        """Note a created task before it is started; False if the run is being cancelled."""
        assert submission.task_id is not None
        with self._lock:
            if self._closed:
                return False
            self._live[submission.task_id] = submission
            return True

    def leave(self, submission: Submission) -> None:
        """The task has ended."""
        with self._lock:
            self._live.pop(submission.task_id or "", None)

    def close(self) -> list[Submission]:
        """Let nobody enter any more; what is alive now."""
        with self._lock:
            self._closed = True
            return list(self._live.values())

    @property
    def live(self) -> list[Submission]:
        """What is alive now."""
        with self._lock:
            return list(self._live.values())


def abort_all(client: Client, submissions: Sequence[Submission]) -> list[Submission]:
    """Abort tasks, wait until they have ended, and return those that have not."""
    with ThreadPoolExecutor(_ABORT_THREADS) as pool:
        list(pool.map(lambda submission: _abort(client, submission), submissions))
    deadline = time.monotonic() + ABORT_TIMEOUT
    alive = list(submissions)
    while alive:
        alive = _still_alive(client, alive)
        if not alive or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    return alive


def _abort(client: Client, submission: Submission) -> None:
    """Ask once; whether it worked is seen by the status afterwards."""
    assert submission.task_id is not None
    try:
        client.abort_task(submission.task_id)
    except BadRequest:
        # A draft cannot be aborted, and must not be left to be started by hand. A task that has
        # just ended cannot be aborted either; deleting drafts only is what the status is for.
        _delete_draft(client, submission.task_id)
    except CavaticaError:
        return


def _delete_draft(client: Client, task_id: str) -> None:
    try:
        if client.get_task(task_id).status == "DRAFT":
            client.delete_task(task_id, missing_ok=True)
    except CavaticaError:
        return


def _still_alive(client: Client, submissions: Iterable[Submission]) -> list[Submission]:
    by_id = {submission.task_id or "": submission for submission in submissions}
    try:
        answers: dict[str, Task | ApiError] = client.get_tasks(by_id)
    except ApiError:
        return list(by_id.values())
    return [by_id[task_id] for task_id, answer in answers.items() if not _has_ended(answer)]


def _has_ended(answer: Task | ApiError) -> bool:
    if isinstance(answer, Task):
        return answer.is_terminal
    return isinstance(answer, NotFound)
