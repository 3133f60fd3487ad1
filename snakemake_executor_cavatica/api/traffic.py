"""How much of what a client transfers has arrived, for those who want to tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Moving:
    """Files that are under way in one direction, with those that have ended since the first began.

    What waits for its turn is not among them.
    """

    files: int
    """Those under way."""
    size: int
    """Bytes of all of them, as far as they are known."""
    moved: int
    """Bytes that have moved."""
    seconds: float
    """Since the first of them began."""


class FileMoving:
    """One file under way; what is sent twice counts once."""

    def __init__(self, direction: Direction, size: int) -> None:
        self._direction = direction
        self._lock = threading.Lock()
        self._size = size
        self._moved = 0
        direction.change(size, 0)

    def has_size(self, size: int) -> None:
        """It is known by now how large it is."""
        with self._lock:
            self._direction.change(size - self._size, 0)
            self._size = size

    def add(self, number: int) -> None:
        """So many bytes more have moved."""
        with self._lock:
            number = min(number, self._size - self._moved)
            if number > 0:
                self._moved += number
                self._direction.change(0, number)

    def end(self) -> None:
        """Nothing more comes: it is there, or is not going to be."""
        with self._lock:
            self._direction.change(self._moved - self._size, 0)
            self._size = self._moved


class Direction:
    """All that moves in one direction. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files = 0
        self._size = 0
        self._moved = 0
        self._since = 0.0
        self.total = 0
        """Bytes that have moved since the client began."""

    @contextmanager
    def file(self, size: int) -> Iterator[FileMoving]:
        """A file is under way meanwhile; `size` is 0 if it is not known yet."""
        with self._lock:
            if self._files == 0:
                self._size, self._moved, self._since = 0, 0, time.monotonic()
            self._files += 1
        moving = FileMoving(self, size)
        try:
            yield moving
        finally:
            moving.end()
            with self._lock:
                self._files -= 1

    def change(self, size: int, moved: int) -> None:
        """So many bytes more are to move, and so many more have."""
        with self._lock:
            self._size += size
            self._moved += moved
            self.total += moved

    @property
    def moving(self) -> Moving | None:
        """What is under way; None if nothing is."""
        with self._lock:
            if self._files == 0:
                return None
            seconds = time.monotonic() - self._since
            return Moving(self._files, self._size, self._moved, seconds)


class Traffic:
    """What a client transfers."""

    def __init__(self) -> None:
        self.up = Direction()
        self.down = Direction()
