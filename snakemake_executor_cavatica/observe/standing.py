"""How a run stands: whether its main process goes on, and else how it has ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from ..run.journal import Record as Journal
from ..run.journal import State
from ..run.processes import is_dead, number_if_alive_here
from .entries import Attempt, Run, Status


class Standing(StrEnum):
    """How a run stands. The first four have no outcome on record."""

    RUNNING = "running"
    KILLED = "killed"
    """Its main process is no more, and could not say so."""
    SILENT = "silent"
    """On another machine, from which no sign of life has come for a long time."""
    UNKNOWN = "unknown"
    """On another machine, of which nothing is known."""
    DONE = "done"
    FAILED = "failed"
    LIMIT = "limit"
    """Of its cost."""
    CANCELLED = "cancelled"
    DETACHED = "detached"
    """The tasks were left running on purpose."""
    SUCCESSOR = "successor"
    """Another run has taken it up."""

    @property
    def is_certain(self) -> bool:
        """Whether more than a guess is known."""
        return self not in (Standing.SILENT, Standing.UNKNOWN)


_OF_JOURNAL = {State.ENDED: Standing.CANCELLED, State.DETACHED: Standing.DETACHED}


def standing_of(
    run: Run | None, journal: Journal | None = None, *, is_silent: bool = False
) -> Standing:
    """How a run stands, by its record or by its journal on the platform.

    Args:
        run: None without a record.
        is_silent: whether there was no sign of life in the journal for so long that it is hardly
            alive.
    """
    if run is not None and run.outcome:
        is_known = run.outcome in set(Standing)
        return Standing(run.outcome) if is_known else Standing.UNKNOWN
    if run is not None and is_dead(run.process):
        return Standing.KILLED
    if run is not None and number_if_alive_here(run.process) is not None:
        return Standing.RUNNING
    return Standing.UNKNOWN if journal is None else _by_journal(journal, is_silent)


def _by_journal(journal: Journal, is_silent: bool) -> Standing:
    if journal.successor:
        return Standing.SUCCESSOR
    if journal.state in _OF_JOURNAL:
        return _OF_JOURNAL[journal.state]
    if is_dead(journal.process):
        return Standing.KILLED
    return Standing.SILENT if is_silent else Standing.RUNNING


def may_have_changed(standing: Standing, attempts: Iterable[Attempt]) -> bool:
    """Whether tasks go on, or may, that nobody keeps on record any more."""
    if standing is Standing.RUNNING:
        return False
    return any(is_open(one) for one in attempts)


def is_open(attempt: Attempt) -> bool:
    """Whether the task of an attempt may go on, as far as the record tells."""
    is_open_ = attempt.status is Status.LEFT or not attempt.status.is_over
    return attempt.task is not None and is_open_


def may_go_on(attempt: Attempt) -> bool:
    """Whether its task may go on, and has no result yet."""
    return is_open(attempt) and attempt.ended is None


def standing_by_tasks(standing: Standing, left: Sequence[Attempt]) -> Standing:
    """How a run stands, now that it is known what has become of the tasks that it left.

    If some were aborted, and none goes on, it was cancelled after it had left them.
    """
    if standing is not Standing.DETACHED or any(map(may_go_on, left)):
        return standing
    was_cancelled = any(one.status is Status.CANCELLED for one in left)
    return Standing.CANCELLED if was_cancelled else standing
