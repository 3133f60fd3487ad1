"""How work is ended: one event, with a child for each part of the work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet

from .errors import Stopped


class Stop(threading.Event):
    """Set when work should end. What is part of some work has a child of its event."""

    def __init__(self, parent: Stop | None = None) -> None:
        super().__init__()
        self._parent = parent  # which must live as long, to be told
        self._children: WeakSet[Stop] = WeakSet()
        self._acts: list[Callable[[], None]] = []
        self._guard = threading.Lock()

    def set(self) -> None:
        """End this work and all its parts."""
        with self._guard:
            super().set()
            children = list(self._children)
            acts, self._acts = self._acts, []
        for child in children:
            child.set()
        for act in acts:
            act()

    def child(self) -> Stop:
        """An event that is set together with this one, or on its own."""
        child = Stop(self)
        with self._guard:
            self._children.add(child)
            late = self.is_set()
        if late:
            child.set()
        return child

    def then(self, act: Callable[[], None]) -> None:
        """Have something done once this is set, by the thread that sets it."""
        with self._guard:
            self._acts.append(act)

    def check(self, what: str) -> None:
        """Raises Stopped, which says `what` happened, if this is set."""
        if self.is_set():
            raise Stopped(what) from None  # what it ended may hold URLs that nobody should read
