"""What the platform alone tells of runs: on another machine, or where there is no record any more.

Listings cannot be filtered by the run that a task's description names, so the number of requests is
bounded, and what was not looked at is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from ..api import CavaticaError, Client, Task
from ..project.connection import Connection
from ..project.find_folder import find_folder
from ..run.journal import Record as Journal
from ..run.journals import LONG_SILENCE
from ..run.own_journal import sign_interval
from ..run.run_id import began_at, is_called
from ..run.tasks_of_runs import TASK_FIELDS
from ..translate.job_key import run_of
from ..translate.shared_task import task_id_of
from .attempts_of_tasks import MOST_DETAILS, AttemptsOfTasks
from .entries import Attempt, Run, Status
from .jobs import last_attempts
from .standing import Standing, is_open, standing_by_tasks, standing_of
from .told import Told

MOST_TASKS = 1000
"""Tasks of a project that are looked at: ten listings."""
_CLOCKS_AGREE = timedelta(hours=1)


class UnknownRun(CavaticaError):
    """The platform knows of no such run."""


class PlatformView:
    """The runs in one project, by their tasks and journals."""

    def __init__(self, connection: Connection, project: str, folder: str) -> None:
        """`folder` is the plugin's in the project."""
        self._connection = connection
        self._client: Client = connection.watcher
        self._project = project
        self._folder = folder

    # ------------------------------------------------------------------------------ which runs

    def all(self) -> list[Told]:
        """All runs that the newest tasks belong to, the newest first; tasks are not looked into."""
        tasks, remarks = self._listed(None)
        grouped: defaultdict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            grouped[run_of(task) or ""].append(task)
        grouped.pop("", None)
        journals = self._journals()
        reader = self._reader(0)
        told = [
            self._told(run, reader.of(run, some), journals.get(run))
            for run, some in grouped.items()
        ]
        told.sort(key=lambda one: one.run.started, reverse=True)
        return [one.with_remarks(*remarks) for one in told]

    def one(self, run: str | None) -> Told:
        """A run, by its id or the end of it, or the newest.

        Raises:
            UnknownRun: none of the tasks that were looked at is of it.
            CavaticaError: the platform does not tell.
        """
        began = None if run is None else began_at(run)
        tasks, remarks = self._listed(None if began is None else began - _CLOCKS_AGREE)
        ids = {name for name in map(run_of, tasks) if name is not None}
        name = max((one for one in ids if run is None or is_called(one, run)), default="")
        if not name:
            what = "a run of this plugin" if run is None else f"the run {run}"
            raise UnknownRun(
                f"None of the {len(tasks)} tasks that were looked at in the project "
                f"{self._project} on {self._client.endpoint} is of {what}; --project names another "
                "project."
            )
        found = [task for task in tasks if run_of(task) == name]
        attempts = self._reader(MOST_DETAILS).of(name, found)
        return self._told(name, attempts, self._journals().get(name)).with_remarks(*remarks)

    def task(self, identifier: str) -> Told:
        """A task, or a packed job, with the run that it is of, of which nothing else is told.

        Raises:
            UnknownRun: no run of this plugin has started it.
            CavaticaError: there is no such task, or the platform does not tell.
        """
        task = self._client.get_task(task_id_of(identifier))
        run = run_of(task)
        if run is None and task.parent is not None:  # not all platforms describe children
            run = run_of(self._client.get_task(task.parent, fields="id,description"))
        if run is None:
            raise UnknownRun(f"The task {identifier} was started by no run of this plugin.")
        reader = self._reader(MOST_DETAILS)
        attempts = reader.of(run, [task]) if task.parent is None else [reader.one(task, run=run)]
        wanted = [one for one in attempts if identifier in (one.task, one.parent)]
        return replace(self._told(run, wanted, None), standing=Standing.UNKNOWN)

    def completed(self, told: Told, written: float) -> Told:
        """A record of a run that was killed, with tasks that it had no time to write down.

        Args:
            written: when it was written to last; seconds since the epoch.

        Raises:
            CavaticaError: the platform does not tell.
        """
        killed = datetime.fromtimestamp(written, UTC)
        tasks, remarks = self._listed(killed - _CLOCKS_AGREE, killed + _CLOCKS_AGREE)
        reader = self._reader(MOST_DETAILS)
        known = {name for one in told.attempts for name in (one.task, one.parent)}
        unknown = [task for task in tasks if run_of(task) == told.run.id and task.id not in known]
        more = [
            replace(one, status=Status.LEFT) if one.status is Status.DONE else one
            for one in reader.of(told.run.id, unknown)
            if one.task not in known
        ]
        whole = replace(told, attempts=(*told.attempts, *more), requests=self._requests)
        return whole.with_remarks(*remarks)

    def _reader(self, details: int) -> AttemptsOfTasks:
        return AttemptsOfTasks(self._connection, self._project, details=details)

    def _listed(
        self, begin: datetime | None, end: datetime | None = None
    ) -> tuple[list[Task], list[str]]:
        """The newest tasks, or the first since some moment; and what was not looked at."""
        listed = self._client.list_tasks(
            project=self._project,
            created_from=begin,
            created_to=end,
            order="desc" if begin is None else "asc",
            fields=TASK_FIELDS,
        )
        tasks = list(islice(listed, MOST_TASKS))
        which = "newest" if begin is None else "first"
        since = "" if begin is None else f" since {begin.astimezone():%Y-%m-%d %H:%M}"
        remark = f"Only the {which} {MOST_TASKS} tasks of the project{since} were looked at."
        return tasks, [remark] if len(tasks) == MOST_TASKS else []

    def _journals(self) -> dict[str, Journal]:
        """By run: the journals of those that have not ended in order."""
        home = find_folder(self._client, self._project, self._folder)
        entries = [] if home is None else self._client.list_files(parent=home.id)
        return {journal.run: journal for journal in Journal.read(entries)}

    # --------------------------------------------------------------------------------- one run

    def _told(self, run: str, attempts: Sequence[Attempt], journal: Journal | None) -> Told:
        standing = self._standing(attempts, journal)
        known = _run(run, attempts, self._client.endpoint, self._project)
        if journal is not None:
            known = replace(known, process=journal.process)
        shared = sum(bool(one.shared) and one.parent is None for one in attempts)
        remark = f"{shared} tasks that jobs share were not looked into, and count as one job each."
        return Told(
            (replace(known, ended=None) if standing is Standing.RUNNING else known,),
            tuple(attempts),
            standing,
            (remark,) if shared else (),
            requests=self._requests,
            host="" if journal is None else journal.host,
        )

    @property
    def _requests(self) -> int:
        """How many this process has sent."""
        clients = (self._client, self._connection.client)
        return sum(client.transport.requests_sent for client in clients)

    def _standing(self, attempts: Sequence[Attempt], journal: Journal | None) -> Standing:
        """A run whose journal is gone has ended, if no task of it goes on."""
        if journal is not None:
            silence = journal.age(self._client.transport.clock.now())
            longest = LONG_SILENCE * sign_interval(self._connection)
            standing = standing_of(None, journal, is_silent=silence > longest)
            return standing_by_tasks(standing, last_attempts(attempts))
        if any(is_open(one) for one in attempts):
            return Standing.UNKNOWN
        is_done = all(one.status is Status.DONE for one in last_attempts(attempts))
        return Standing.DONE if is_done else Standing.FAILED


def _run(run: str, attempts: Sequence[Attempt], endpoint: str, project: str) -> Run:
    """A run, of which only the platform tells; its end by that of its last task."""
    began = began_at(run)
    first = min((one.queued for one in attempts if one.queued is not None), default=0.0)
    return Run.by_name(
        run,
        endpoint=endpoint,
        project=project,
        started=first if began is None else began.astimezone(UTC).timestamp(),
        ended=max((one.ended for one in attempts if one.ended is not None), default=None),
    )
