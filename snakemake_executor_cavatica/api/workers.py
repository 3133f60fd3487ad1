"""Threads that everything a client transfers shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from .stop import Stop

# Files that travel at once, and parts of files, in all transfers of a client. A file that is alone
# has all threads, as many as the provider's client takes: each part waits for two round trips
# besides its bytes.
FILES_AT_ONCE = 16
PARTS_AT_ONCE = 16

Item = TypeVar("Item")


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
