"""When to look at the tasks, and when to stop hoping for an answer."""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping

from ..api import ApiError, Client, Task
from ..project.index import BULK

SHORTEST_INTERVAL = 0.2
"""Seconds between two looks, whatever happens."""
_THRIFT = 3
"""The same where requests count: a third of what the user asks for."""
_LAVISH_INTERVAL = 1.0
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
_PATIENCE = 3600.0
"""Seconds without any answer about the tasks after which their jobs are given up."""
_LOCAL_PATIENCE = 10.0
_ABORT_PATIENCE = 60.0
"""Seconds to wait for tasks to have stopped before saying that they did not."""
_LOCAL_ABORT_PATIENCE = 10.0

_LARGE_BATCH = 20
"""Children from which on their batch is asked first."""
_LARGE_SHARE = 5
"""A fifth of the children has ended: reason enough to look at all."""
_SHORT_REST = 20.0
"""Seconds after which children of a batch are looked at once some have been seen to have ended."""
_LONG_REST = 300.0
"""The same where none has: counts may be wrong."""


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


class Rhythm:
    """When to look next, by what was seen so far."""

    def __init__(self, wanted: float, pace: Callable[[], float], *, lavish: bool) -> None:
        """Args:
        wanted: seconds between two looks that the user asks for.
        pace: requests per second that looking may use.
        lavish: whether requests cost nothing.
        """
        self.longest = min(wanted, _LAVISH_INTERVAL) if lavish else _LENIENCE * wanted
        """Seconds between two looks where nothing is to be seen, if requests are left for them."""
        self._shortest = SHORTEST_INTERVAL if lavish else min(wanted / _THRIFT, self.longest)
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


def abort_patience(*, local: bool) -> float:
    """Seconds until a task that does not stop is given up."""
    return _LOCAL_ABORT_PATIENCE if local else _ABORT_PATIENCE


class Silence:
    """How long the platform has not answered."""

    def __init__(self, *, local: bool) -> None:
        self.patience = _LOCAL_PATIENCE if local else _PATIENCE
        """Seconds."""
        self._since: float | None = None

    def begins(self) -> bool:
        """Note that there was no answer; True for the first time in a row."""
        if self._since is not None:
            return False
        self._since = time.monotonic()
        return True

    def ends(self) -> None:
        """Note that there was an answer."""
        self._since = None

    @property
    def is_too_long(self) -> bool:
        """Whether to give up."""
        return self._since is not None and time.monotonic() - self._since > self.patience


class Batches:
    """Which children of batch tasks are worth a look: a batch itself tells how many have ended.

    So a hundred children that run cost one request together with those of all other batches, and
    children that end in dribbles are looked at together.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic seconds."""
        self._client = client
        self._clock = clock
        self._looked: dict[str, tuple[int, float]] = {}
        """By batch: how many had ended when its children were last looked at, and when that was."""
        self._news: dict[str, float] = {}
        """By batch: when it was first seen that more have ended since."""

    def resting(self, children: Mapping[str, str]) -> set[str]:
        """Those of which nothing new is to be expected.

        Args:
            children: the batch of each child that is not known to have ended.

        Raises:
            ApiError: the batches cannot be looked at.
        """
        if len(children) <= BULK:  # one request tells about all of them
            return set()
        members: defaultdict[str, set[str]] = defaultdict(set)
        for child, batch in children.items():
            members[batch].add(child)
        large = {batch for batch, some in members.items() if len(some) >= _LARGE_BATCH}
        answers = self._client.get_tasks(large, fields="id,status,execution_status")
        return {
            child
            for batch, answer in answers.items()
            if self._is_resting(batch, answer, len(members[batch]))
            for child in members[batch]
        }

    def _is_resting(self, batch: str, answer: Task | ApiError, running: int) -> bool:
        now, ended = self._clock(), _ended(answer)
        if ended is not None:
            known, looked = self._looked.setdefault(batch, (0, now))
            if ended == known:
                is_due = now - looked >= _LONG_REST
            else:
                waited = now - self._news.setdefault(batch, now)
                is_due = (ended - known) * _LARGE_SHARE >= running or waited >= _SHORT_REST
            if not is_due:
                return True
            self._looked[batch] = ended, now
        self._news.pop(batch, None)
        return False


def _ended(answer: Task | ApiError) -> int | None:
    """How many children have ended; None if that is not known, or all have."""
    if not isinstance(answer, Task) or answer.is_terminal or answer.execution_status is None:
        return None
    counts = answer.execution_status
    ended = (counts.completed, counts.failed, counts.aborted)
    return None if None in ended else sum(filter(None, ended))
