"""Tasks that earlier runs have left, by the jobs that they do: a job takes its own up."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from ..api import Task, TaskStatus
from ..translate.job_key import JobKey, TaskMark

USELESS = frozenset({TaskStatus.FAILED, TaskStatus.ABORTING, TaskStatus.ABORTED})
"""States of tasks that nobody can take up."""
_BEST_FIRST = [TaskStatus.COMPLETED, TaskStatus.RUNNING, TaskStatus.QUEUED, TaskStatus.CREATING]


@dataclass(frozen=True)
class Leftover:
    """A task that nobody waits for."""

    task: Task
    mark: TaskMark
    names: Mapping[str, str] = field(default_factory=dict)
    """Stored names of its outputs by port, if it is a packed job."""
    is_whole: bool = True
    """Whether all of its results are there; others must still be hidden, but are no use."""

    @property
    def is_live(self) -> bool:
        """Whether it may cost money."""
        return not self.task.is_terminal and self.task.status != TaskStatus.DRAFT


class Leftovers:
    """Tasks that wait for their job to be planned again. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_job: defaultdict[str, list[Leftover]] = defaultdict(list)
        self.finished: list[str] = []
        """Tasks whose jobs Snakemake takes for finished, which no run has reported."""

    def add(self, leftover: Leftover) -> None:
        """Keep a task for its job, as it now is."""
        if leftover.task.known_status not in USELESS:
            self.forget([leftover.task.id])
            with self._lock:
                self._by_job[leftover.mark.key.job].append(leftover)

    def claim(self, key: JobKey, run: str = "") -> Leftover | None:
        """The task that does this very job, or has done it; from now on it is the caller's.

        What this `run` itself has done of the job counts whatever the key: in a run only the number
        of the attempt can make another command of it.
        """
        with self._lock:
            same = [
                one
                for one in self._by_job[key.job]
                if one.is_whole and (one.mark.key == key or _is_done_by(one, run))
            ]
            if not same:
                return None
            best = min(same, key=_rank)
            self._by_job[key.job].remove(best)
            return best

    def superseded(self, key: JobKey) -> list[Task]:
        """What else is under way for the job; its inputs or its code were others.

        Results of such tasks stay on record, and hidden, until the job has new ones.
        """
        with self._lock:
            several = self._by_job[key.job]
            done = [one for one in several if one.task.status == TaskStatus.COMPLETED]
            self._by_job[key.job] = done
            return [one.task for one in several if one not in done]

    def settle(self, job: str) -> None:
        """The job has its results: what else was done for it is of no use any more."""
        with self._lock:
            self._by_job.pop(job, None)

    def finish(self, placed: Container[str], needed: Container[str]) -> None:
        """Tasks whose results have begun to appear on this machine are finished, unless their jobs
        are `needed`: then not all have appeared.
        """
        with self._lock:
            for job, several in self._by_job.items():
                done = [] if job in needed else [one for one in several if one.task.id in placed]
                self.finished += [one.task.id for one in done]
                self._by_job[job] = [one for one in several if one not in done]

    def forget(self, tasks: Iterable[str]) -> None:
        """These tasks are of no use any more."""
        stopped = set(tasks)
        with self._lock:
            for job, several in self._by_job.items():
                self._by_job[job] = [one for one in several if one.task.id not in stopped]

    def attempt(self, job: str) -> int:
        """The latest attempt at a job (rule and wildcards, hashed); 0 if there is none."""
        with self._lock:
            return max((one.mark.attempt for one in self._by_job.get(job, ())), default=0)

    @property
    def left(self) -> list[Leftover]:
        """Those that no job has asked for."""
        with self._lock:
            return [one for several in self._by_job.values() for one in several]


def _is_done_by(leftover: Leftover, run: str) -> bool:
    return leftover.mark.run == run and leftover.task.status == TaskStatus.COMPLETED


def _rank(leftover: Leftover) -> int:
    status = leftover.task.known_status
    return _BEST_FIRST.index(status) if status in _BEST_FIRST else len(_BEST_FIRST)
