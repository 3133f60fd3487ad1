"""What time it is on the platform: machines that share work have clocks of their own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LOOK_AGAIN = 10.0
"""Seconds for which an answer is good."""
_SOON = timedelta(seconds=5)
"""In which an answer comes that tells the time: over a later one the machine may have slept."""
_MOST = timedelta(days=366)
"""No clock is that wrong; a header may be."""


class PlatformClock:
    """As far as the headers of the platform's answers tell it; else this machine's own."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._good_until = 0.0

    def note(self, date: str | None, asked: datetime) -> None:
        """Take note of the header `Date` of an answer that has just come.

        Args:
            asked: when the request was sent, by this machine's clock.
        """
        if time.monotonic() < self._good_until:
            return
        if not timedelta() <= datetime.now(UTC) - asked <= _SOON:
            return
        theirs = read_date(date)
        ahead = _MOST if theirs is None else theirs - datetime.now(UTC)
        if abs(ahead) < _MOST:
            self._ahead = ahead
            self._good_until = time.monotonic() + _LOOK_AGAIN

    def now(self) -> datetime:
        """The time on the platform, to the second."""
        return datetime.now(UTC) + self._ahead


def read_date(text: str | None) -> datetime | None:
    """What the header `Date` tells; None if that is no time. HTTP knows no zone but UTC."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


if sys.platform == "linux":
    _BOOTED = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def steady_time() -> float:
    """Seconds since the epoch by this machine's clock, as if nobody had set it since the start.

    For the times of a run, whose spans cost money. It goes on while the machine sleeps, as no
    clock does on other systems than Linux: there it is the one that may be set.
    """
    if sys.platform == "linux":
        return _BOOTED + time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()


@dataclass(frozen=True)
class Moment:
    """A moment by the clocks of this machine: one of them stands still while the machine sleeps,
    and another may be set.
    """

    wall: float = field(default_factory=time.time)
    steady: float = field(default_factory=time.monotonic)
    both: float = field(default_factory=steady_time)

    @property
    def longest(self) -> float:
        """Seconds since then, by whichever clock tells of most."""
        return max(abs(time.time() - self.wall), time.monotonic() - self.steady)

    @property
    def seconds(self) -> float:
        """Seconds since then as far as that can be told, see `steady_time`."""
        return steady_time() - self.both
