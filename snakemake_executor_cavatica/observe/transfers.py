"""A line now and then about uploads and downloads that take their time."""

from __future__ import annotations

from collections.abc import Iterator

from ..api.traffic import Direction, Moving, Traffic
from .words import duration, several, size

_PATIENCE = 10.0
"""Seconds after which people want to know."""
_BETWEEN = 30.0
"""Seconds between two lines about the same direction."""


class Transfers:
    """When there is something to tell of what a client transfers, and what."""

    def __init__(self, traffic: Traffic) -> None:
        self._directions: dict[str, Direction] = {
            "Uploading": traffic.up,
            "Downloading": traffic.down,
        }
        self._told: dict[str, float] = {}

    def lines(self, now: float) -> Iterator[str]:
        """What is to be told at this moment; `now` is monotonic seconds."""
        for what, direction in self._directions.items():
            moving = direction.moving
            is_new = now - self._told.get(what, float("-inf")) >= _BETWEEN
            if moving is not None and moving.seconds >= _PATIENCE and is_new:
                self._told[what] = now
                yield f"{what} {told(moving)}"


def told(moving: Moving) -> str:
    """How far files are, how fast they move, and how long they will still take."""
    rate = moving.moved / moving.seconds if moving.seconds else 0.0
    text = f"{several(moving.files, 'file')}: {size(moving.moved)} of {size(moving.size)}"
    if not rate:
        return text
    left = (moving.size - moving.moved) / rate
    return f"{text} at {size(rate)}/s, about {duration(left)} left"
