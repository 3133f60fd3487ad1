"""Threads that everything a client transfers shares, and how work in them is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar
from weakref import WeakSet

Item = TypeVar("Item")


class Stop(threading.Event):
    """Set when work should end. What is part of some work has a child of its event."""

    def __init__(self, parent: Stop | None = None) -> None:
        super().__init__()
        self._parent = parent  # which must live as long, to be told
        self._children: WeakSet[Stop] = WeakSet()
        self._children_lock = threading.Lock()

    def set(self) -> None:
        """End this work and all its parts."""
        with self._children_lock:
            super().set()
            children = list(self._children)
        for child in children:
            child.set()

    def child(self) -> Stop:
        """An event that is set together with this one, or on its own."""
        child = Stop(self)
        with self._children_lock:
            self._children.add(child)
            late = self.is_set()
        if late:
            child.set()
        return child


class Workers:
    """A number of threads for the work of all callers. They end when nobody holds this any more."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="cavatica-transfer")

    def each(
        self,
        work: Callable[[Item, Stop], None],
        items: Sequence[Item],
        stop: Stop,
        *,
        at_once: int | None = None,
    ) -> None:
        """Do `work` on all items, at most `at_once` of them at a time.

        `work` is given an event that is set when it should end: with `stop`, or after the first
        error, which is raised as soon as no item is being worked on any more. It may wait for what
        is being worked on here, but not for what has yet to begin.
        """
        stop = stop.child()
        if len(items) == 1:  # not worth another thread
            work(items[0], stop)
            return
        # Bounded: a large file has thousands of parts. Some wait, so that no thread has to.
        limit = at_once or 2 * self._number
        waiting: set[Future[None]] = set()
        try:
            for item in items:
                if len(waiting) >= limit:
                    waiting = _raise_first(waiting, FIRST_COMPLETED)
                waiting.add(self._pool.submit(work, item, stop))
            _raise_first(waiting, FIRST_EXCEPTION)
        except BaseException:
            stop.set()
            for future in waiting:
                future.cancel()
            wait(waiting)
            raise


def _raise_first(futures: set[Future[None]], until: str) -> set[Future[None]]:
    done, waiting = wait(futures, return_when=until)
    for future in done:
        future.result()
    return waiting
