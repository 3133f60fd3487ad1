"""When to look at the tasks."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable

from ..api import Task
from ..api.call import BULK

SHORTEST_INTERVAL = 0.2
"""Seconds between two looks, whatever happens."""
_THRIFT = 3
"""The same where requests count: a third of what the user asks for."""
_UNLIMITED_INTERVAL = 1.0
"""Longest time between two looks where they cost nothing; seconds."""
_PART = 4
"""The part of a job's duration that may pass before its end is seen: a quarter."""
_QUIET_PART = 2
"""The same of the time in which nothing ended, as long as it is not known how long jobs take."""
_LENIENCE = 2.5
"""Of two looks, where jobs are long: their distance beside what the user asks for."""
_BREAK = 4
"""How much longer than a look the pause after it is, at least."""
_DURATIONS = 50
"""Jobs that tell how long jobs take: the last ones to end."""


def poll_interval(
    asked: int,
    *,
    quiet: float,
    typical: float,
    shortest: float,
    longest: float,
    pace: float,
    took: float,
) -> float:
    """Seconds until the next look at the tasks.

    Often at the start and where jobs are short, seldom while nothing changes, and never more often
    than requests are left for it.

    Args:
        asked: tasks that are looked at, each by its id.
        quiet: seconds since a task was last seen to start or end.
        typical: seconds that jobs take; 0 as long as none has ended.
        shortest, longest: seconds between two looks if there are requests enough.
        pace: requests per second that looking may use.
        took: seconds that the last look took.
    """
    wanted = min(max(quiet / _QUIET_PART, typical / _PART, shortest), longest)
    requests = math.ceil(asked / BULK) + 1  # one more for the outputs of what has ended
    return max(wanted, requests / pace, min(_BREAK * took, longest))


class PollSchedule:
    """When to look next, by what was seen so far."""

    def __init__(self, wanted: float, pace: Callable[[], float], *, unlimited: bool) -> None:
        """`wanted` is the seconds between two looks that the user asks for, `pace` the requests per
        second that looking may use, and `unlimited` says whether requests cost nothing.
        """
        self.longest = min(wanted, _UNLIMITED_INTERVAL) if unlimited else _LENIENCE * wanted
        """Seconds between two looks where nothing is to be seen, if requests are left for them."""
        self._shortest = SHORTEST_INTERVAL if unlimited else min(wanted / _THRIFT, self.longest)
        self._pace = pace
        self._durations: deque[float] = deque(maxlen=_DURATIONS)
        self._changed = time.monotonic()
        self._live = 0

    def end(self, task: Task | None) -> None:
        """A task is seen to have ended."""
        self._changed = time.monotonic()
        if task is not None and task.run_seconds is not None:
            self._durations.append(task.run_seconds)

    def interval(self, live: int, *, asked: int, took: float) -> float:
        """Seconds until the next look.

        Args:
            live: jobs that are under way.
            asked: tasks that the last look was at.
            took: its seconds.
        """
        if live > self._live:
            self._changed = time.monotonic()
        self._live = live
        return poll_interval(
            asked,
            quiet=time.monotonic() - self._changed,
            typical=statistics.median(self._durations) if self._durations else 0.0,
            shortest=self._shortest,
            longest=self.longest,
            pace=self._pace(),
            took=took,
        )
