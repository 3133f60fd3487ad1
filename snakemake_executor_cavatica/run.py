"""The jobs that are under way: who is where between Snakemake and the platform.

Snakemake's base class keeps a list of active jobs, but empties it for the length of every poll.
Nothing that matters at Ctrl-C may rest on it, so the register here is the one that counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .api import ApiError, BadRequest, CavaticaError, Client, NotFound, Task, TaskStatus
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
    planned: JobPlan | None = None
    name: str = ""
    """Of the task."""
    task_id: str | None = None
    status: str = ""
    ended: bool = False
    """Whether the platform has said that the task is over."""
    silence: Silence = field(default_factory=lambda: Silence(local=False))
    """How long the platform has told nothing about this very task."""

    @property
    def plan(self) -> JobPlan:
        """How the job runs; there is a plan from the first step on."""
        assert self.planned is not None
        return self.planned

    @property
    def title(self) -> str:
        """What people call the job."""
        return self.planned.title if self.planned else str(self.info.job.name)


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
        """The task has ended, or was never started."""
        with self._lock:
            self._live.pop(submission.task_id or "", None)

    def close(self) -> None:
        """Let nobody enter any more."""
        with self._lock:
            self._closed = True

    @property
    def live(self) -> list[Submission]:
        """What is alive now."""
        with self._lock:
            return list(self._live.values())


def abort_all(
    client: Client, submissions: Sequence[Submission], *, timeout: float = ABORT_TIMEOUT
) -> list[Submission]:
    """Abort tasks, see that they have ended, and return those of which that is not known.

    Asked again and again until `timeout` (seconds), since a request to abort may get lost.
    """
    deadline = time.monotonic() + timeout
    alive = list(submissions)
    with ThreadPoolExecutor(_ABORT_THREADS) as pool:
        while True:
            list(pool.map(partial(_abort, client), alive))
            alive = _still_alive(client, alive)
            if not alive or time.monotonic() > deadline:
                return alive
            time.sleep(1.0)


def _abort(client: Client, submission: Submission) -> None:
    """Ask for it; whether it worked is seen by the status afterwards."""
    task_id = submission.task_id or ""
    with suppress(CavaticaError):
        try:
            client.abort_task(task_id)
        except BadRequest:
            # Drafts cannot be aborted, and must not be left to be started by hand.
            if client.get_task(task_id).status == TaskStatus.DRAFT:
                client.delete_task(task_id, missing_ok=True)


def _still_alive(client: Client, submissions: Iterable[Submission]) -> list[Submission]:
    by_id = {submission.task_id or "": submission for submission in submissions}
    try:
        answers: dict[str, Task | ApiError] = client.get_tasks(by_id)
    except CavaticaError:
        return list(by_id.values())
    return [by_id[task_id] for task_id, answer in answers.items() if not _has_ended(answer)]


def _has_ended(answer: Task | ApiError) -> bool:
    if isinstance(answer, Task):
        return answer.is_terminal
    return isinstance(answer, NotFound)
