"""The journal of this run, from the moment when its first task is started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ..api import CavaticaError, ConfigurationError, NotFound
from ..project.connection import Connection
from ..project.paths import ProjectPath
from .journal import UNKNOWN, Journal, Record, State
from .journals import Journals, conflict, outdated_by

_INTERVAL = 60.0
"""Seconds: 5 calls of the 1,000 that 5 minutes allow."""
_LOCAL_INTERVAL = 3.0


def sign_interval(connection: Connection) -> float:
    """Seconds between two signs of life of a run."""
    return _LOCAL_INTERVAL if connection.has_no_rate_limit else _INTERVAL


class OwnJournal:
    """What this run tells others of itself; nothing before it is opened."""

    def __init__(
        self,
        connection: Connection,
        home: ProjectPath,
        run: str,
        journals: Journals,
        on_successor: Callable[[str], None],
    ) -> None:
        """`on_successor` is told which other run has taken this one up."""
        self._connection = connection
        self._home = home
        self._run = run
        self._journals = journals
        self._on_successor = on_successor
        self.has_successor = False
        """Whether another run has taken this one up."""
        self.successor_has_ended = False
        self.interval = sign_interval(connection)
        """Seconds between two signs of life."""
        self._opening = threading.Lock()
        self._journal: Journal | None = None
        self._refusal: ConfigurationError | None = None

    def open(
        self,
        scope: str,
        predecessors: Iterable[Record],
        *,
        lock: bool,
        outdated: Callable[[], ConfigurationError | None],
    ) -> None:
        """Make the run known on the platform, once.

        Args:
            scope: what only one run at a time may work on; `lock` says whether to insist.
            predecessors: the runs whose tasks this one takes up.
            outdated: why the run may do nothing any more, asked when others know of it.

        Raises:
            ConfigurationError: another run was a moment faster.
            CavaticaError: the journal cannot be stored.
        """
        with self._opening:
            if self._refusal is not None:
                raise self._refusal
            if self._journal is None:
                self._journal = self._opened(scope, list(predecessors), outdated, lock=lock)

    def _opened(
        self,
        scope: str,
        predecessors: list[Record],
        outdated: Callable[[], ConfigurationError | None],
        *,
        lock: bool,
    ) -> Journal:
        client = self._connection.client
        journal = Journal(
            self._connection.watcher,
            self._connection.index(self._home.project).ensure_folder(self._home.path),
            self._run,
            on_successor=self._give_way,
        )
        journal.open(client, scope, self.interval)
        try:
            rivals = self._journals.newcomers(self._run, scope) if lock else []
            rivals += [one for one in predecessors if self._journals.gives_signs(one)]
            self._refusal = conflict(rivals[0]) if rivals else outdated()
            self._refusal = self._refusal or self._take_over(journal, predecessors)
        except CavaticaError:
            journal.close(None)
            raise
        if self._refusal is not None:
            journal.close(None)
            raise self._refusal
        return journal

    def _take_over(
        self, journal: Journal, predecessors: Iterable[Record]
    ) -> ConfigurationError | None:
        """Tell dead runs that this one has their tasks; why that is not so."""
        client, refusal = self._connection.client, None
        told: list[Record] = []
        for one in predecessors:
            try:
                is_dead = journal.inherit(client, one)
            except NotFound:  # it was taken up by another run, which has ended since
                refusal = outdated_by(one.run)
                break
            told.append(one)
            if not is_dead:
                refusal = conflict(one)
                break
        for one in told if refusal else ():
            journal.leave_to(client, one)
        return refusal

    def _give_way(self, successor: str) -> None:
        self.has_successor = True
        self.successor_has_ended = successor == UNKNOWN
        self._on_successor(successor)

    @property
    def is_open(self) -> bool:
        """Whether others know of the run."""
        return self._journal is not None

    def report(self, task_id: str) -> None:
        """Note that a task's job was reported as finished."""
        if self._journal is not None:
            self._journal.report(task_id)

    def is_written(self) -> bool:
        """Whether all that was reported is known on the platform; written now if it is not."""
        if self._refusal is not None:
            return False
        return self._journal is None or self._journal.is_written()

    def confirm(self) -> None:
        """See that no other run has taken this one up while its machine was asleep.

        Raises:
            CavaticaError: one has, or it cannot be found out.
        """
        journal = self._journal
        if journal is not None and journal.is_silent:
            journal.confirm(self._connection.client)
        if self.has_successor:
            raise CavaticaError("another run has taken this one up")

    def close(self, state: State | None) -> None:
        """Say how the run stands at its end; None if nothing of it is left.

        Raises:
            CavaticaError: that could not be written down.
        """
        if self._journal is not None:
            self._journal.close(state)
