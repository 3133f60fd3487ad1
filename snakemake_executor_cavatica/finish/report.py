"""Tells Snakemake of finished jobs, several at a time.

Whenever its scheduler hears of some, it starts an event loop, says how far the run is and looks for
what is ready. Jobs that end together need all that once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

_GATHER = 0.05
"""Seconds that the first of several waits for the others."""


class Reports:
    """What is to be told. Safe to use from several threads."""

    def __init__(self, tell: Callable[[SubmittedJobInfo], None]) -> None:
        """`tell` reports one job."""
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[SubmittedJobInfo] = []

    def add(self, info: SubmittedJobInfo) -> None:
        """Report a job very soon."""
        with self._lock:
            self._waiting.append(info)
            is_first = len(self._waiting) == 1
        if is_first:
            timer = threading.Timer(_GATHER, self._tell_all)
            timer.daemon = True  # at the end of the run nothing waits
            timer.start()

    def _tell_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for info in waiting:
            self._tell(info)
