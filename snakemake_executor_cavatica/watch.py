"""When to look at the tasks, and when to stop hoping for an answer."""

from __future__ import annotations

import time

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
