"""How long the platform has told nothing about a task, and when to stop hoping."""

from __future__ import annotations

import time

_PATIENCE = 3600.0
"""Seconds without any answer about the tasks after which their jobs are given up."""
_LOCAL_PATIENCE = 10.0


class Unanswered:
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
        since = self._since  # which another thread may end
        return since is not None and time.monotonic() - since > self.patience
