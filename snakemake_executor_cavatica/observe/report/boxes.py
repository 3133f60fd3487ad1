"""Five numbers that stand for many: what a box plot draws. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_WHISKER = 1.5
"""Of the box's length: how far a whisker may reach (Tukey)."""


@dataclass(frozen=True)
class Box:
    """Of some values. A whisker ends at the last value that is not far outside."""

    low: float
    first: float
    median: float
    third: float
    high: float
    most: float
    """The largest value of all."""
    count: int


def box(values: Sequence[float]) -> Box | None:
    """The box of some values; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    first, median, third = _quartiles(ordered)
    reach = _WHISKER * (third - first)
    inside = [one for one in ordered if first - reach <= one <= third + reach]
    return Box(
        low=min(inside[0], first),
        first=first,
        median=median,
        third=third,
        high=max(inside[-1], third),
        most=ordered[-1],
        count=len(ordered),
    )


def _quartiles(ordered: Sequence[float]) -> tuple[float, float, float]:
    if len(ordered) == 1:
        return ordered[0], ordered[0], ordered[0]
    first, median, third = statistics.quantiles(ordered, n=4, method="inclusive")
    return first, median, third
