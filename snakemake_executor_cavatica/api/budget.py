"""The rate limit, shared by everything in this process that uses one token at one endpoint.

Documented: 1,000 requests in five minutes for each token, told in the headers X-RateLimit-Limit,
-Remaining and -Reset (Unix seconds). A request beyond that is answered 429, so callers wait here
until the window ends instead. Part of the window is left to the user's other tools, and part of
what remains of it to looking at tasks: else a thousand jobs that are submitted at once would use it
up, and for minutes nobody would see that some have ended.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from .answers import rate_headers
from .clock import read_date
from .credentials import Token
from .endpoint import origin
from .stop import Stop

logger = logging.getLogger(__name__)

# Share of the limit that is kept free for the user's other tools.
SHARE_FOR_OTHERS = 0.05

# Share of the limit that only looking may use, as long as the window lasts.
SHARE_FOR_LOOKING = 0.2

# Share of what is left that looking uses, where that is more.
_APPETITE = 0.5

# The window is five minutes; a reset that seems further away comes from a clock that is wrong.
_LONGEST_WAIT = 310.0

# Sleep in slices (seconds), so that one notices soon that the window is roomier than thought, or
# that nobody waits any longer.
_SLICE = 0.25

# The same for those that wait behind another one: there may be dozens, for minutes.
_QUEUED = 2.0

# Seconds of waiting that are told.
_NOTICED = 20.0


class Rank(IntEnum):
    """What a request is for; a higher one may use shares that are kept from the lower ones."""

    WORK = 0
    LOOKING = 1
    """It is made again and again, to see how things stand."""
    URGENT = 2
    """It must not wait for other tools, either: a task is to be aborted."""


@dataclass
class _Window:
    """What is known of the current window; a `remaining` of None is nothing."""

    limit: int | None = None
    remaining: int | None = None
    reset: int = 0
    """As the server says it; it tells one window from the next."""
    ends: float = 0.0
    """The same by our own clock."""
    length: float = 0.0
    """Seconds of the longest window so far."""
    told: bool = False
    """Whether it was said that requests wait for its end."""


class RateBudget:
    """How many requests the token has left, by what the last answers said.

    `clock` is monotonic seconds and `wall` Unix seconds; with `sleep` they are injected by tests.
    """

    def __init__(
        self,
        *,
        share_for_others: float = SHARE_FOR_OTHERS,
        share_for_looking: float = SHARE_FOR_LOOKING,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 <= share_for_others < 1:
            raise ValueError("share_for_others must be at least 0 and below 1")
        self._share = share_for_others
        self._looking = min(share_for_looking, 1 - share_for_others)
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._lock = threading.Lock()
        self._queues = {rank: threading.Lock() for rank in Rank}
        self._window = _Window()
        self._in_flight = 0

    @property
    def remaining(self) -> int | None:
        """Requests left in the current window, or None if nothing is known about it."""
        with self._lock:
            self._forget_ended_window()
            return self._window.remaining

    @property
    def limit(self) -> int | None:
        """Requests in a window, or None before the first answer."""
        return self._window.limit

    def pace(self) -> float:
        """Requests per second that looking may use from now on; infinite if nothing limits them."""
        with self._lock:
            self._forget_ended_window()
            if self._window.limit is None or not self._window.length:
                return math.inf
            assured = self._window.limit * self._looking / self._window.length
            if self._window.remaining is None:
                return assured
            free = self._window.remaining - self._window.limit * self._share
            left = max(self._window.ends - self._clock(), 1.0)
            return max(assured, _APPETITE * free / left)

    def acquire(self, rank: Rank = Rank.WORK, *, stop: Stop | None = None) -> bool:
        """Wait until one request may be sent, and count it; `release` must follow.

        False, and nothing is counted, if `stop` is set while it waits.
        """
        return self._claim(rank) <= 0 or self._wait(rank, stop)

    def _wait(self, rank: Rank, stop: Stop | None) -> bool:
        # Of all that wait, one looks again and again; the rest queue behind it.
        queue = self._queues[rank]
        while not queue.acquire(timeout=_QUEUED):
            if stop is not None and stop.is_set():
                return False
        try:
            while (wait := self._claim(rank)) > 0:
                if stop is not None and stop.is_set():
                    return False
                self._tell(wait)
                self._sleep(min(wait, _SLICE))
            return True
        finally:
            queue.release()

    def _tell(self, wait: float) -> None:
        """Say once for each window that requests wait, if somebody may wonder about the pause."""
        with self._lock:
            if wait < _NOTICED or self._window.told:
                return
            self._window.told = True
        logger.warning(
            "The platform's rate limit is nearly used up (%s requests in %.0f min, whoever sends "
            "them with this token). Requests wait, up to %.0f s.",
            f"{self._window.limit:,}" if self._window.limit else "so many",
            self._window.length / 60,
            wait,
        )

    def release(self, headers: Mapping[str, str] | None = None) -> None:
        """The request is over; `headers` (lower case) are its answer's, None without an answer."""
        rate = rate_headers(headers or {})
        with self._lock:
            self._in_flight -= 1
            if rate is None or headers is None:
                return
            self._window.limit = rate.limit or self._window.limit
            newer = self._window.remaining is None or rate.reset > self._window.reset
            if newer:
                # The requests under way are not in this count yet.
                self._window.remaining = rate.remaining - self._in_flight
            elif rate.reset == self._window.reset and self._window.remaining is not None:
                # Answers overtake one another, so the lowest count is the newest.
                self._window.remaining = min(self._window.remaining, rate.remaining)
            if newer:
                self._open_window(rate.reset, headers.get("date"))

    def exhausted(self, headers: Mapping[str, str] | None = None) -> None:
        """An answer said 429: nothing is left until its own reset, whatever was counted.

        That may come earlier than the reset of other answers, if it was another limit.
        """
        rate = rate_headers(headers or {})
        with self._lock:
            if rate is not None and headers is not None:
                self._open_window(rate.reset, headers.get("date"))
                self._window.remaining = 0
            elif self._window.remaining is not None:
                self._window.remaining = min(self._window.remaining, 0)

    def _open_window(self, reset: int, date: str | None) -> None:
        self._window.told = self._window.told and reset == self._window.reset
        self._window.reset = reset
        seconds = self._seconds_until(reset, date)
        self._window.ends = self._clock() + seconds
        self._window.length = max(self._window.length, seconds)

    def _claim(self, rank: Rank) -> float:
        """Count a request and return 0, or return the seconds until the window ends."""
        with self._lock:
            self._forget_ended_window()
            if self._window.remaining is not None:
                left = self._window.ends - self._clock()
                if self._window.remaining <= self._reserve(rank, left):
                    return max(left, 0.001)
                self._window.remaining -= 1
            self._in_flight += 1
            return 0.0

    def _reserve(self, rank: Rank, left: float) -> int:
        """Requests that have to remain after one of that rank; `left` seconds of the window."""
        limit = self._window.limit or 0
        others = round(limit * self._share) if rank < Rank.URGENT else 0
        if rank > Rank.WORK:
            return others
        # Less and less, and in the end nothing: then the next window is there.
        return others + round(limit * self._looking * min(left / self._window.length, 1.0))

    def _forget_ended_window(self) -> None:
        if self._window.remaining is not None and self._clock() >= self._window.ends:
            self._window.remaining = None

    def _seconds_until(self, reset: int, date: str | None) -> float:
        # Both times by the server's clock if it tells, since the laptop's may be minutes off.
        told = read_date(date)
        now = self._wall() if told is None else told.timestamp()
        # One second more: the header has no fractions.
        return min(max(reset - now, 0.0) + 1.0, _LONGEST_WAIT)


_budgets: weakref.WeakValueDictionary[tuple[tuple[str, str, int], bytes], RateBudget] = (
    weakref.WeakValueDictionary()
)
_budgets_lock = threading.Lock()


def shared_budget(endpoint: str, token: Token) -> RateBudget:
    """The one budget of this process for `token` at `endpoint`."""
    key = (origin(endpoint), hashlib.sha256(token.reveal().encode()).digest())
    with _budgets_lock:
        budget = _budgets.get(key)
        if budget is None:
            budget = _budgets[key] = RateBudget()
        return budget
