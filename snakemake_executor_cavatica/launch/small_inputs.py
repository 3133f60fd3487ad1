"""Small inputs of jobs that are ready at about the same time are uploaded together.

Snakemake hands out what is ready, in lists of any length. Nothing here waits on its own thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..api import CavaticaError
from ..run.register import Submission

_QUIET = 0.4
"""Seconds without a further job after which those that wait are enough, if none is planned."""
_LONGEST = 6.0
"""Seconds that a job waits for others."""


Boundary = Callable[[list[Submission], Callable[[], None]], None]
"""Runs a step for jobs; if it fails, so do they."""


class SmallInputs:
    """Has the small inputs of jobs on the platform before the next step of each is taken."""

    def __init__(
        self,
        lacks: Callable[[Submission], bool],
        send: Callable[[Sequence[Submission], Callable[[], None]], None],
        threads: Executor,
        boundary: Boundary,
        logger: Any,
    ) -> None:
        """`lacks` says whether a job has small inputs to send, and `send` sends those of many, and
        calls whenever some have arrived; `threads` take the next steps.
        """
        self._lacks = lacks
        self._send = send
        self._threads = threads
        self._boundary = boundary
        self._logger = logger
        self._news = threading.Condition()
        self._waiting: list[tuple[Submission, Callable[[], None]]] = []
        self._first = self._last = 0.0
        self._planning = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="cavatica-parcels", daemon=True)

    def then(self, submission: Submission, step: Callable[[], None]) -> None:
        """Have a thread take a job's next step once its small inputs were sent."""
        if not self._lacks(submission):
            self._threads.submit(step)
            return
        with self._news:
            if self._closed:
                return
            self._last = time.monotonic()
            self._first = self._first if self._waiting else self._last
            self._waiting.append((submission, step))
            if not self._thread.is_alive():
                self._thread.start()
            self._news.notify()

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Jobs are being planned, which may take a while: those that wait do so for them, too."""
        with self._news:
            self._planning += 1
        try:
            yield
        finally:
            with self._news:
                self._planning -= 1
                self._news.notify()

    def close(self) -> None:
        """Start nothing any more."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or bool(self._waiting))
                while not self._closed and (left := self._seconds_left()) > 0:
                    self._news.wait(left)
                if self._closed:
                    return
                jobs, self._waiting = self._waiting, []
            submissions = [submission for submission, _ in jobs]
            self._boundary(submissions, partial(self._go_on, jobs))

    def _go_on(self, jobs: Sequence[tuple[Submission, Callable[[], None]]]) -> None:
        """Each job goes on as soon as its own inputs have arrived; all do in the end."""
        left = dict(enumerate(jobs))
        lock = threading.Lock()

        def release() -> None:
            with lock:
                for number, (submission, step) in list(left.items()):
                    if not self._lacks(submission):
                        del left[number]
                        self._threads.submit(step)

        try:
            self._send([submission for submission, _ in jobs], release)
        except CavaticaError as error:
            # The next step brings what is lacking, file by file, and tells what is in the way.
            self._logger.debug(f"Small inputs could not be sent together: {error}")
        for _, step in left.values():
            self._threads.submit(step)

    def _seconds_left(self) -> float:
        end = self._first + _LONGEST
        return (end if self._planning else min(self._last + _QUIET, end)) - time.monotonic()
