"""Until a platform has answered once: people are told that it does not, and why, and for how long.

Later, unanswered is another matter: a run goes on, and whoever looks at its tasks says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import tenacity

from .errors import CHECK_ADDRESS, NoAnswer

logger = logging.getLogger(__name__)

SILENCE = 3.0
"""Seconds until it is told that there is no answer."""
_LONGEST = 120.0
"""Seconds for which a platform is sought that was never there."""
_LONGEST_FOR_LASTING = 10.0
"""The same if the reason is one that seldom passes, such as a name that does not resolve."""


class FirstContact:
    """With one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._is_made = False
        self._error: NoAnswer | None = None

    def make(self) -> None:
        """There is an answer, whatever it says."""
        self._is_made = True

    def fail(self, error: NoAnswer) -> None:
        """There is none, for this reason."""
        self._error = error

    def is_hopeless(self, state: tenacity.RetryCallState) -> bool:
        """For tenacity's stop: the platform was sought for long enough."""
        if self._is_made or self._error is None:
            return False
        return (state.seconds_since_start or 0.0) + state.upcoming_sleep > self._longest()

    @contextmanager
    def sought(self, longest: float) -> Iterator[None]:
        """While a call waits for its answer, at most so many seconds."""
        if self._is_made:
            yield
            return
        timer = threading.Timer(SILENCE, self._tell, [datetime.now(), longest])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _longest(self) -> float:
        return _LONGEST_FOR_LASTING if self._error and self._error.lasting else _LONGEST

    def _tell(self, began: datetime, longest: float) -> None:
        if self._is_made:
            return
        error = self._error
        what = error.message if error else f"{self._endpoint} does not answer"
        until = began + timedelta(seconds=min(longest, self._longest()))
        logger.warning(
            "%s. It is tried again until %s; %s.", what, f"{until:%H:%M:%S}", CHECK_ADDRESS
        )
