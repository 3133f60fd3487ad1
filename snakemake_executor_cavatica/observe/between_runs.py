"""What a run finds of those that it goes on with, and what it leaves itself."""

from __future__ import annotations

from collections.abc import Callable

from ..api import TaskStatus
from ..run.leftovers import Leftover
from .entries import Status
from .live_record import LiveRecord
from .new_attempts import of_leftover
from .recorder import Recorder


def inherit(
    record: LiveRecord,
    recorder: Recorder,
    leftover: Leftover,
    page: Callable[[str], str],
    *,
    is_reported: bool,
) -> None:
    """Note how a task of an interrupted run stands, whose tasks are taken up.

    Args:
        page: the address of a task.
        is_reported: whether its job is finished.
    """
    task = leftover.task
    known = record.of_task(task.id)
    if known is None and task.status != TaskStatus.DRAFT:
        known = record.add(of_leftover(leftover, page))
    recorder.seen(task.id, task)
    if known is not None and is_reported and task.status == TaskStatus.COMPLETED:
        record.change(known.id, status=Status.DONE)


def leave(record: LiveRecord) -> None:
    """The run is over: what it leaves is told as that."""
    for attempt in record.attempts:
        if attempt.status is Status.SUBMITTED:  # a draft, which is removed
            record.change(attempt.id, status=Status.CANCELLED)
        elif not attempt.status.is_over:
            record.change(attempt.id, status=Status.LEFT)
