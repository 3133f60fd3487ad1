"""Where the bar of each attempt goes in a timeline. Pure.

Few attempts have a row each. Many share rows, those of each rule its own: a bar takes the first row
that is free by then, so that the height tells how many ran side by side.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..entries import Attempt, Run

ROWS_OF_THEIR_OWN = 60
"""Up to so many attempts have a row each."""


@dataclass(frozen=True)
class Bar:
    """Seconds since the epoch: waiting from `begin` to `start`, running from there to `end`."""

    begin: float
    start: float
    end: float
    row: int


@dataclass(frozen=True)
class Band:
    """Rows that belong together."""

    label: str
    rows: int


@dataclass(frozen=True)
class Timeline:
    """Bars by the position of their attempt; None where no time is known."""

    begin: float
    end: float
    bands: tuple[Band, ...]
    bars: tuple[Bar | None, ...]
    is_by_rule: bool


def timeline(runs: Iterable[Run], attempts: Sequence[Attempt]) -> Timeline:
    """The timeline of a record."""
    last = last_moment(runs, attempts)
    spans = [_span(attempt, last) for attempt in attempts]
    timed = [number for number, span in enumerate(spans) if span is not None]
    is_by_rule = len(timed) > ROWS_OF_THEIR_OWN
    timed.sort(key=lambda number: (spans[number] or (0.0,))[0])
    groups: dict[str, list[int]] = {}
    for number in timed:
        key = attempts[number].rule if is_by_rule else str(number)
        groups.setdefault(key, []).append(number)
    bands: list[Band] = []
    bars: list[Bar | None] = [None] * len(attempts)
    first_row = 0
    for numbers in groups.values():
        rows = _fill(numbers, spans, bars, first_row)
        first_row += rows
        attempt = attempts[numbers[0]]
        bands.append(Band(attempt.rule if is_by_rule else attempt.title, rows))
    begin = min((span[0] for span in spans if span is not None), default=last)
    return Timeline(begin, last, tuple(bands), tuple(bars), is_by_rule)


_Span = tuple[float, float, float]


def last_moment(runs: Iterable[Run], attempts: Iterable[Attempt]) -> float:
    """The last time that the record tells of: what has not ended goes on until then, at least."""
    told = [moment for run in runs for moment in (run.started, run.ended)]
    told += [moment for one in attempts for moment in _moments(one)]
    return max((moment for moment in told if moment is not None), default=0.0)


def _moments(attempt: Attempt) -> tuple[float | None, ...]:
    return attempt.submitted, attempt.queued, attempt.started, attempt.ended


def _span(attempt: Attempt, last: float) -> _Span | None:
    known = [moment for moment in _moments(attempt) if moment is not None]
    if not known:
        return None
    begin = known[0] if attempt.queued is None else attempt.queued
    end = max(last if attempt.ended is None else attempt.ended, begin)
    start = end if attempt.started is None else min(max(attempt.started, begin), end)
    return begin, start, end


def _fill(
    numbers: Iterable[int], spans: Sequence[_Span | None], bars: list[Bar | None], first_row: int
) -> int:
    """Give each of these a row; how many rows they take."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    rows = 0
    for number in numbers:
        span = spans[number]
        assert span is not None
        while busy and busy[0][0] <= span[0]:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            row = heapq.heappop(free)
        else:
            row, rows = rows, rows + 1
        heapq.heappush(busy, (span[2], row))
        bars[number] = Bar(*span, first_row + row)
    return rows
