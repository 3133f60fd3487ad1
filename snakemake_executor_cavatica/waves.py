"""Gathers jobs that are ready at about the same time, so that they can share tasks.

Snakemake hands out what is ready, in lists of any length: all at once, or in dribbles.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, wait
from functools import partial
from typing import TypeVar

from .batch import Candidate
from .launch import Launcher
from .run import Submission

_QUIET = 0.4
"""Seconds without a further job after which a wave is complete."""
_LONGEST = 3.0
"""Seconds after which it is sent even if there are more."""

T = TypeVar("T")
Boundary = Callable[[list[Submission], Callable[[], None]], None]
"""Runs a step for jobs; if it fails, so do they."""


class Waves:
    """Starts jobs together. Nothing here waits on Snakemake's own thread."""

    def __init__(self, launcher: Launcher, pool: Executor, boundary: Boundary) -> None:
        self._launcher = launcher
        self._pool = pool
        self._boundary = boundary
        self._news = threading.Condition()
        self._waiting: list[Submission] = []
        self._first = self._last = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._gather, name="cavatica-waves", daemon=True)

    def add(self, submission: Submission) -> None:
        """Start a job soon, with others that come soon."""
        with self._news:
            self._last = time.monotonic()
            if not self._waiting:
                self._first = self._last
            self._waiting.append(submission)
            if not self._thread.is_alive() and not self._closed:
                self._thread.start()
            self._news.notify()

    def close(self) -> None:
        """Start nothing any more."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _gather(self) -> None:
        while True:
            with self._news:
                while not self._closed and (left := self._seconds_left()) > 0:
                    self._news.wait(left)
                if self._closed:
                    return
                wave, self._waiting = self._waiting, []
            self._boundary(wave, partial(self._send, wave))

    def _seconds_left(self) -> float:
        """Until the wave that is being gathered is complete."""
        if not self._waiting:
            return _LONGEST
        end = min(self._last + _QUIET, self._first + _LONGEST)
        return end - time.monotonic()

    def _send(self, wave: list[Submission]) -> None:
        found: list[tuple[Submission, Candidate]] = []

        def prepare(submission: Submission) -> None:
            candidate = self._launcher.prepare(submission)
            if candidate is not None:
                found.append((submission, candidate))

        wait([self._pool.submit(self._boundary, [one], partial(prepare, one)) for one in wave])
        by_job = {candidate.mark.jobid: one for one, candidate in found}
        self._boundary(list(by_job.values()), partial(self._start, by_job, found))

    def _start(
        self, by_job: dict[str, Submission], found: list[tuple[Submission, Candidate]]
    ) -> None:
        """Batches first; packs of what is in none of them; and the rest alone."""
        left = {candidate.mark.jobid: candidate for _, candidate in found}
        for batch in self._launcher.plan_batches(list(left.values())):
            members = [left.pop(member.candidate.mark.jobid) for member in batch.members]
            self._start_together(by_job, members, self._launcher.start_batch, batch)
        for pack in self._launcher.plan_packs(list(left.values())):
            members = [left.pop(member.mark.jobid) for member in pack.members]
            self._start_together(by_job, members, self._launcher.start_pack, pack)
        for jobid, candidate in left.items():
            self._start_alone(by_job[jobid], candidate)

    def _start_together(
        self,
        by_job: Mapping[str, Submission],
        members: Sequence[Candidate],
        start: Callable[[Sequence[Submission], T], bool],
        jobs: T,
    ) -> None:
        submissions = [by_job[member.mark.jobid] for member in members]

        def step() -> None:
            if not start(submissions, jobs):
                for submission, candidate in zip(submissions, members, strict=True):
                    self._start_alone(submission, candidate)

        self._pool.submit(self._boundary, submissions, step)

    def _start_alone(self, submission: Submission, candidate: Candidate) -> None:
        step = partial(self._launcher.start_alone, submission, candidate)
        self._pool.submit(self._boundary, [submission], step)
