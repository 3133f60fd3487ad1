"""How a run follows those before it, and what it leaves to those after it.

Wires journal, earlier runs, leftovers and local record for the executor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta

from ..api import ConfigurationError
from ..api.clock import Moment
from ..project.connection import Connection
from ..project.local_record import LocalRecord
from ..project.paths import SCHEME, ProjectPath
from .earlier_runs import EarlierRuns
from .journal import Record, State
from .journals import outdated_by
from .leftovers import USELESS, Leftover, Leftovers
from .own_journal import OwnJournal

_CLOCKS_AGREE = timedelta(seconds=5)
"""So far the platform's times may be apart: they are told to the second."""


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
        self.leftovers = Leftovers()
        self.needed: set[str] = set()
        """Jobs of this run that earlier ones may have left tasks of."""
        self._run = run
        self._connection, self._home = connection, home
        self._watcher = connection.watcher
        self._local_record = local_record
        self._earlier = earlier
        self._journals = earlier.journals
        self._own = OwnJournal(connection, home, run, self._journals, on_successor)
        self._read = Moment()
        """When the project's files were first asked for: the plan is as old."""
        self.scope = ""
        """What only one run at a time may work on; empty until it is known."""
        self._locks = True
        self._inherited: list[Record] = []
        self._reported: set[str] = set()

    @property
    def is_known(self) -> bool:
        """Whether other runs know of this one; its first task makes it known."""
        return self._own.is_open

    @property
    def has_successor(self) -> bool:
        """Whether another run has taken this one up, and with it all that there is to do."""
        return self._own.has_successor

    @property
    def is_left_to_others(self) -> bool:
        """Whether another run has taken this one up, and still goes on: it tidies up."""
        return self.has_successor and not self._own.successor_has_ended

    def begin(self, scope: str, *, lock: bool) -> None:
        """Find what earlier runs on the same files have left.

        Args:
            scope: what only one run at a time may work on.
            lock: whether to insist on that.

        Raises:
            ConfigurationError: another run works on it, or has while this one was planned.
            CavaticaError: it cannot be found out.
        """
        self.scope, self._locks = scope, lock
        self._read = self._connection.index(_project_of(scope) or self._home.project).began
        known = {one.run: one.reported for one in self._journals.in_scope(scope)}
        if lock:
            self._wait_until_all_are_over()
        self._journals.refresh()
        if lock:
            self._wait_until_all_are_over()  # some did not say yet what they are about
        there = self._journals.in_scope(scope)
        changed = _changed(known, {one.run: one.reported for one in there})
        if lock and changed is not None:
            raise outdated_by(changed)
        self._inherited = [one for one in there if self._journals.is_over(one)]
        self.leftovers = self._earlier.leftovers(self._inherited)

    def _wait_until_all_are_over(self) -> None:
        for record in self._journals.in_scope(self.scope):
            self._journals.wait_until_over(record, self._own.interval)

    def begun(self, needed: Iterable[str]) -> None:
        """It is known what this run has to do.

        Args:
            needed: its jobs, by the part of a `JobKey` that says which.
        """
        self.needed = set(needed)
        self.leftovers.finish(self._local_record.placed(), self.needed)

    @property
    def predecessors(self) -> list[str]:
        """The runs whose tasks this one takes up."""
        return [record.run for record in self._inherited]

    def tasks_of_predecessors(self) -> dict[str, tuple[Leftover, bool]]:
        """All their tasks, also those that are of no use, and whether their jobs were reported.

        They are told once.
        """
        tasks = [one for record in self._inherited for one in self._earlier.tasks_of(record)]
        reported = self._earlier.reported if tasks else set()
        return {one.task.id: (one, one.task.id in reported) for one in tasks}

    @property
    def needed_leftovers(self) -> list[Leftover]:
        """What earlier runs have left of jobs of this one."""
        return [one for one in self.leftovers.left if one.mark.key.job in self.needed]

    def open_journal(self) -> None:
        """Make this run known on the platform, once, before its first task.

        Raises:
            ConfigurationError: another run was a moment faster.
            CavaticaError: the journal cannot be stored.
        """
        self._own.open(self.scope, self._inherited, lock=self._locks, outdated=self._outdated)
        finished, self.leftovers.finished = self.leftovers.finished, []
        for task in finished:
            # Else the next run would hide these results, and have the jobs done once more.
            self.reported(task)

    def _outdated(self) -> ConfigurationError | None:
        """Why the plan of this run is not to be followed: its machine slept before it had a
        journal, and another run has done jobs meanwhile.
        """
        if not self._locks or self._read.longest <= 2 * self._own.interval:
            return None
        passed = timedelta(seconds=max(0.0, self._read.seconds)) + _CLOCKS_AGREE
        since = self._watcher.transport.clock.now() - passed
        for one in self._earlier.made_by_others(self._run, self.scope, since):
            is_of_use = one.task.known_status not in USELESS
            if one.mark.run not in self.predecessors and is_of_use:
                return outdated_by(one.mark.run)
        return None

    def reveal(self, task_id: str) -> None:
        """Let the results of a task be seen that were hidden, if they were."""
        self._earlier.reveal(task_id)

    def reported(self, task_id: str) -> None:
        """A task's job is finished: no run will take it up."""
        if task_id in self._reported:
            return
        self._reported.add(task_id)
        self._local_record.report(task_id)
        self._own.report(task_id)

    def placing(self, task_id: str) -> None:
        """A task's results are all here, and appear at their places from now on."""
        self._local_record.place(task_id)

    def is_on_record(self) -> bool:
        """Whether all that was reported is known on the platform, also to this run's successors."""
        return not self.has_successor and self._own.is_written()

    def confirm(self) -> None:
        """See that no other run has taken this one up while its machine was asleep.

        Raises:
            CavaticaError: one has, or it cannot be found out.
        """
        self._own.confirm()

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
        left = {*kept, *(leftover.mark.run for leftover in self.leftovers.left)}
        # Any run since may have reported other tasks of one that stays.
        some_stay = any(record.run in left for record in self._inherited)
        is_needed = self._run in left or (some_stay and self._reported)
        self._own.close(state if is_needed else None)
        over = [
            record
            for record in self._inherited
            if record.run not in left and not (some_stay and record.reported)
        ]
        over += self._journals.begun_in_vain(self._own.interval)
        for file in [file for record in over for file in record.files]:
            self._watcher.delete_file(file, missing_ok=True)
        if not left and len(over) == len(self._journals.records):
            self._local_record.forget_reports()


def _project_of(scope: str) -> str | None:
    """The project of a storage prefix; None for a working directory."""
    return ProjectPath.parse(scope).project if scope.startswith(SCHEME) else None


def _changed(
    before: Mapping[str, Collection[str]], now: Mapping[str, Collection[str]]
) -> str | None:
    """A run that has reported tasks, or has ended with nothing left, between two looks."""
    for run in {*before, *now}:
        if run not in now or set(now[run]) - set(before.get(run, ())):
            return run
    return None
