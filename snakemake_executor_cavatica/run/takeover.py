"""How a run follows those before it, and what it leaves to those after it.

Wires journal, earlier runs, orphans and local record for the executor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from ..api import CavaticaError, ConfigurationError
from ..project.connection import Connection
from ..project.local_record import LocalRecord
from ..project.paths import ProjectPath
from .earlier_runs import EarlierRuns, conflict
from .journal import Journal, Record, State
from .orphans import Orphan, Orphans

logger = logging.getLogger(__name__)

_INTERVAL = 60.0
"""Seconds between two signs of life: 5 calls of the 1,000 that 5 minutes allow."""
_LOCAL_INTERVAL = 3.0


class Takeover:
    """The runs before this one, this one, and what it leaves. Safe to use from several threads."""

    def __init__(
        self,
        connection: Connection,
        earlier: EarlierRuns,
        home: ProjectPath,
        run: str,
        local_record: LocalRecord,
        *,
        on_successor: Callable[[str], None],
    ) -> None:
        """`on_successor` is told which other run has taken this one up."""
        self.orphans = Orphans()
        self._connection = connection
        self._home = home
        self._run = run
        self._local_record = local_record
        self._on_successor = on_successor
        self.needed: set[str] = set()
        """Jobs of this run that earlier ones may have left tasks of."""
        self.has_successor = False
        """Whether another run has taken this one up, and with it all that there is to do."""
        self._interval = _LOCAL_INTERVAL if connection.has_no_rate_limit else _INTERVAL
        self._earlier = earlier
        self._scope = ""
        self._locks = True
        self._inherited: list[Record] = []
        self._journal: Journal | None = None
        self._opening = threading.Lock()
        self._refusal: ConfigurationError | None = None
        self._reported: set[str] = set()

    def begin(self, scope: str, *, lock: bool) -> None:
        """Find what earlier runs on the same files have left.

        Args:
            scope: what only one run at a time may work on.
            lock: whether to insist on that.

        Raises:
            ConfigurationError: another run works on it.
            CavaticaError: it cannot be found out.
        """
        self._scope, self._locks = scope, lock
        if lock:
            for record in self._earlier.in_scope(scope):
                self._earlier.wait_until_over(record, self._interval)
        self._earlier.refresh()
        self._inherited = [
            one for one in self._earlier.in_scope(scope) if self._earlier.is_over(one)
        ]
        self.orphans = self._earlier.orphans(self._inherited)

    @property
    def predecessors(self) -> list[str]:
        """The runs whose tasks this one takes up."""
        return [record.run for record in self._inherited]

    @property
    def needed_orphans(self) -> list[Orphan]:
        """What earlier runs have left of jobs of this one."""
        return [one for one in self.orphans.left if one.mark.key.job in self.needed]

    def open_journal(self) -> None:
        """Make this run known on the platform, once, before its first task.

        Raises:
            ConfigurationError: another run was a moment faster.
            CavaticaError: the journal cannot be stored.
        """
        with self._opening:
            if self._refusal is not None:
                raise self._refusal
            if self._journal is not None:
                return
            journal = Journal(
                self._connection.watcher,
                self._connection.index(self._home.project).ensure_folder(self._home.path),
                self._run,
                interval=self._interval,
                on_successor=self._give_way,
            )
            client = self._connection.client
            journal.open(client, self._scope)
            rivals = self._earlier.newcomers(self._run, self._scope) if self._locks else []
            rivals += [one for one in self._inherited if self._earlier.gives_signs(one)]
            if rivals:
                journal.close(None)
                self._refusal = conflict(rivals[0])
                raise self._refusal
            for record in self._inherited:
                journal.inherit(client, record)
            self._journal = journal

    def _give_way(self, successor: str) -> None:
        self.has_successor = True
        self._on_successor(successor)

    def reveal(self, task_id: str) -> None:
        """Let the results of a task be seen that were hidden, if they were."""
        self._earlier.reveal(task_id)

    def reported(self, task_id: str) -> None:
        """A task's job is finished: no run will take it up."""
        if task_id in self._reported:
            return
        self._reported.add(task_id)
        self._local_record.report(task_id)
        if self._journal is not None:
            self._journal.report(task_id)

    def is_on_record(self) -> bool:
        """Whether all that was reported is known on the platform, also to this run's successors."""
        if self.has_successor:
            return False
        return self._journal is None or self._journal.is_written()

    def confirm(self) -> None:
        """See that no other run has taken this one up while its machine was asleep.

        Raises:
            CavaticaError: one has, or it cannot be found out.
        """
        journal = self._journal
        if journal is not None and time.time() - journal.acknowledged > 2 * self._interval:
            journal.confirm(self._connection.client)
        if self.has_successor:
            raise CavaticaError("another run has taken this one up")

    def end(self, kept: Collection[str], *, state: State) -> None:
        """The run is over.

        Args:
            kept: runs, this one or earlier ones, of which tasks are left that jobs of this run had.
            state: how this run stands if something of it is left.

        Raises:
            CavaticaError: that could not be written down.
        """
        if self.has_successor:
            return
        left = {*kept, *(orphan.mark.run for orphan in self.orphans.left)}
        # Any run since may have reported other tasks of one that stays.
        some_stay = any(record.run in left for record in self._inherited)
        if self._journal is not None:
            is_needed = self._run in left or (some_stay and self._reported)
            self._journal.close(state if is_needed else None)
        over = [
            record
            for record in self._inherited
            if record.run not in left and not (some_stay and record.reported)
        ]
        for file in [file for record in over for file in record.files]:
            self._connection.watcher.delete_file(file, missing_ok=True)
        if not left and len(over) == len(self._earlier.records):
            self._local_record.forget_reports()
