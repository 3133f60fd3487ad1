"""When to look at the tasks, and when to stop hoping for an answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping

from .api import ApiError, Client, Task

SHORTEST_INTERVAL = 0.2
"""Seconds between two polls, whatever is asked for."""
_LOCAL_INTERVAL = 1.0
"""Longest time between two polls of an embedded platform, which costs nothing; seconds."""
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
_SHORT_REST = 4
"""Looks at a batch in which something has ended, before its children are looked at."""
_LONG_REST = 20
"""The same if nothing has: counts may be wrong."""


def poll_interval(wanted: float, *, local: bool) -> float:
    """Seconds between two polls: the user's, but not idle on an embedded platform."""
    return max(min(wanted, _LOCAL_INTERVAL) if local else wanted, SHORTEST_INTERVAL)


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

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended: dict[str, int] = {}
        self._rests: defaultdict[str, int] = defaultdict(int)

    def resting(self, children: Mapping[str, str]) -> set[str]:
        """Those of which nothing new is to be expected.

        Args:
            children: the batch of each child that is not known to have ended.

        Raises:
            ApiError: the batches cannot be looked at.
        """
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
        ended = _ended(answer)
        if ended is not None:
            news = ended - self._ended.get(batch, 0)
            patience = _LONG_REST if news == 0 else _SHORT_REST
            self._rests[batch] += 1
            if news * _LARGE_SHARE < running and self._rests[batch] <= patience:
                return True
            self._ended[batch] = ended
        self._rests[batch] = 0
        return False


def _ended(answer: Task | ApiError) -> int | None:
    """How many children have ended; None if that is not known, or all have."""
    if not isinstance(answer, Task) or answer.is_terminal or answer.execution_status is None:
        return None
    counts = answer.execution_status
    ended = (counts.completed, counts.failed, counts.aborted)
    return None if None in ended else sum(filter(None, ended))
