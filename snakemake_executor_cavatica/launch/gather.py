"""Gathers jobs whose inputs are ready at about the same time, so that they can share tasks.

Snakemake hands out what is ready, in lists of any length: all at once, or in dribbles. Inputs that
have to be uploaded first can take hours, so nobody waits for those of another job for long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from ..run.register import Submission
from ..translate.candidate import Candidate
from .launcher import Launcher
from .shared_tasks import SharedTasks
from .small_inputs import Boundary, SmallInputs

_QUIET = 0.4
"""Seconds without a further job after which a wave is complete."""
_LONGEST = 3.0
"""Seconds after which it is sent even if there are more."""
_PATIENCE = 60.0
"""The same while others are planned, or their inputs are on their way: large batches need fewer
requests."""
_START_THREADS = 4
"""Each holds the children of a batch for a moment, of which each repeats the manifest of all."""

T = TypeVar("T")


class Gatherer:
    """Starts jobs together. Nothing here waits on Snakemake's own thread."""

    def __init__(
        self,
        launcher: Launcher,
        shared_tasks: SharedTasks,
        small_inputs: SmallInputs,
        boundary: Boundary,
    ) -> None:
        self._launcher = launcher
        self._shared_tasks = shared_tasks
        self._small_inputs = small_inputs
        # Apart, because thousands of jobs may be waiting for a thread that brings their inputs.
        self._starters = ThreadPoolExecutor(_START_THREADS, "cavatica-start")
        self._boundary = boundary
        self._news = threading.Condition()
        self._preparing = 0
        """What more jobs may come of: plans being made, and inputs on their way."""
        self._ready: list[tuple[Submission, Candidate]] = []
        self._first = self._last = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._gather, name="cavatica-gatherer", daemon=True)

    def add(self, submission: Submission) -> None:
        """Start a job soon, with others that come soon."""
        with self._news:
            if self._closed:
                return
            self._preparing += 1
            if not self._thread.is_alive():
                self._thread.start()
        self._small_inputs.then(submission, partial(self._prepare, submission))

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Jobs are being planned, which may take longer than a wave waits: it waits for them."""
        with self._news:
            self._preparing += 1
        try:
            yield
        finally:
            with self._news:
                self._preparing -= 1
                self._news.notify()

    def close(self) -> None:
        """Start nothing any more."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._starters.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, submission: Submission) -> None:
        candidate: Candidate | None = None

        def step() -> None:
            nonlocal candidate
            candidate = self._launcher.prepare(submission)

        try:
            self._boundary([submission], step)
        finally:
            with self._news:
                self._preparing -= 1
                self._last = time.monotonic()
                if candidate is not None:
                    self._first = self._first if self._ready else self._last
                    self._ready.append((submission, candidate))
                self._news.notify()

    def _gather(self) -> None:
        while True:
            with self._news:
                while not self._closed and (left := self._seconds_left()) > 0:
                    self._news.wait(left)
                if self._closed:
                    return
                wave, self._ready = self._ready, []
            submissions = [submission for submission, _ in wave]
            self._boundary(submissions, partial(self._start, wave))

    def _seconds_left(self) -> float:
        """Until the wave that is being gathered is complete."""
        if not self._ready:
            return _LONGEST
        if self._preparing:
            end = self._first + _PATIENCE
        else:
            end = min(self._last + _QUIET, self._first + _LONGEST)
        return end - time.monotonic()

    def _start(self, wave: Sequence[tuple[Submission, Candidate]]) -> None:
        """Batches first; packs of what is in none of them; and the rest alone."""
        by_job = {candidate.mark.jobid: submission for submission, candidate in wave}
        left = {candidate.mark.jobid: candidate for _, candidate in wave}
        for batch in self._shared_tasks.plan_batches(list(left.values())):
            members = [left.pop(member.candidate.mark.jobid) for member in batch.members]
            self._start_together(by_job, members, self._shared_tasks.start_batch, batch)
        for pack in self._shared_tasks.plan_packs(list(left.values())):
            members = [left.pop(member.mark.jobid) for member in pack.members]
            self._start_together(by_job, members, self._shared_tasks.start_pack, pack)
        for jobid, candidate in left.items():
            self._start_alone(by_job[jobid], candidate)

    def _start_together(
        self,
        by_job: Mapping[str, Submission],
        members: Sequence[Candidate],
        start: Callable[[Sequence[Submission], T], set[str]],
        jobs: T,
    ) -> None:
        submissions = [by_job[member.mark.jobid] for member in members]

        def step() -> None:
            alone = start(submissions, jobs)
            for candidate in members:
                if candidate.mark.jobid in alone:
                    self._start_alone(by_job[candidate.mark.jobid], candidate)

        self._starters.submit(self._boundary, submissions, step)

    def _start_alone(self, submission: Submission, candidate: Candidate) -> None:
        step = partial(self._launcher.start_alone, submission, candidate)
        self._starters.submit(self._boundary, [submission], step)
