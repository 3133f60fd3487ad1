"""Which children of batch tasks are worth a look."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from ..api import ApiError, Client, Task
from ..api.call import BULK

_LARGE_BATCH = 20
"""Children from which on their batch is asked first."""
_LARGE_SHARE = 5
"""A fifth of the children has ended: reason enough to look at all."""
_SHORT_REST = 20.0
"""Seconds after which children of a batch are looked at once some have been seen to have ended."""
_LONG_REST = 300.0
"""The same where none has: counts may be wrong."""


class Batches:
    """Which children of batch tasks are worth a look: a batch itself tells how many have ended.

    So a hundred children that run cost one request together with those of all other batches, and
    children that end in dribbles are looked at together.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic seconds."""
        self._client = client
        self._clock = clock
        self._looked: dict[str, tuple[int, float]] = {}
        """By batch: how many had ended when its children were last looked at, and when that was."""
        self._news: dict[str, float] = {}
        """By batch: when it was first seen that more have ended since."""

    def resting(self, children: Mapping[str, str]) -> set[str]:
        """Those of which nothing new is to be expected.

        Args:
            children: the batch of each child that is not known to have ended.

        Raises:
            ApiError: the batches cannot be looked at.
        """
        if len(children) <= BULK:  # one request tells about all of them
            return set()
        members: defaultdict[str, set[str]] = defaultdict(set)
        for child, batch in children.items():
            members[batch].add(child)
        large = {batch for batch, some in members.items() if len(some) >= _LARGE_BATCH}
        answers = self._client.get_tasks(large, fields="id,status,execution_status")
        return {
            child
            for batch, answer in answers.items()
            if self._is_resting(batch, answer, len(members[batch]))
            for child in members[batch]
        }

    def _is_resting(self, batch: str, answer: Task | ApiError, running: int) -> bool:
        now, ended = self._clock(), _ended(answer)
        if ended is not None:
            known, looked = self._looked.setdefault(batch, (0, now))
            if ended == known:
                is_due = now - looked >= _LONG_REST
            else:
                waited = now - self._news.setdefault(batch, now)
                is_due = (ended - known) * _LARGE_SHARE >= running or waited >= _SHORT_REST
            if not is_due:
                return True
            self._looked[batch] = ended, now
        self._news.pop(batch, None)
        return False


def _ended(answer: Task | ApiError) -> int | None:
    """How many children have ended; None if that is not known, or all have."""
    if not isinstance(answer, Task) or answer.is_terminal or answer.execution_status is None:
        return None
    counts = answer.execution_status
    ended = (counts.completed, counts.failed, counts.aborted)
    return None if None in ended else sum(filter(None, ended))
