"""Taking up what was left: tasks of runs that died, and of attempts whose fate was not known.

A job that is planned again takes up its task instead of starting, and paying, another. Only what
was never reported as finished is taken up: Snakemake may have had its reasons to ask for the rest
anew (a forced rule, a deleted file), while nobody has yet decided anything about these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from ..api import (
    ApiError,
    BadRequest,
    Client,
    File,
    NotFound,
    TaskStatus,
    iter_files,
)
from ..project.connection import Connection
from ..project.index import ProjectIndex
from ..project.local_record import reported_tasks
from ..project.paths import SCHEME, ProjectPath
from ..translate.shared_task import task_id_of
from .journal import Record
from .journals import Journals
from .leftovers import USELESS, Leftover, Leftovers
from .tasks_of_runs import TasksOfRuns


class EarlierRuns:
    """What the runs of which a journal is there have left. Hides what was never reported."""

    def __init__(
        self, client: Client, index: ProjectIndex, home: ProjectPath, known: Callable[[], set[str]]
    ) -> None:
        """`known` gives the tasks of which this machine remembers that they were reported."""
        self._client = client
        self._index = index
        self._home = home
        self._known = known
        self.journals = Journals(client, index, home)
        self._made: dict[str, list[Leftover]] = {}
        self._left: dict[str, list[Leftover]] = {}
        self._tasks = TasksOfRuns(client, home.project)
        self._revealed: set[str] = set()

    def hidden(self, folder: str, files: Iterable[File]) -> Iterator[File]:
        """Those files of a folder that a run which is over has made, but never reported.

        If they were seen, Snakemake would refuse to start (they are incomplete, it says), or would
        take them for results of which nobody knows what they were made from.
        """
        if folder == self._home.path or folder.startswith(f"{self._home.path}/"):
            return
        files = list(files)
        left = [
            one
            for record in self.journals.records
            if self.journals.is_over(record) and self._may_have_made(record, folder, files)
            for one in self._unreported(record)
            if one.task.id not in self._revealed
        ]
        makers = {one.task.id for one in left}
        outputs = {ref.path for one in left for ref in iter_files(one.task.outputs)}
        # A pack that ran when it was looked at may have ended since.
        packed = {(task_id_of(one.task.id), name) for one in left for name in one.names.values()}
        for file in files:
            made = (file.origin_task or "", file.name)
            if file.id in outputs or file.origin_task in makers or made in packed:
                yield file

    def _may_have_made(self, record: Record, folder: str, files: list[File]) -> bool:
        """Whether it is worth calls to find out which of the files a run has made."""
        return _is_within(folder, record.scope, self._home.project) or any(
            file.origin_task and file.created_on and file.created_on >= record.began
            for file in files
        )

    def reveal(self, task_id: str) -> None:
        """A job of this run has taken the task up and puts its results in place."""
        self._revealed.add(task_id)

    def _unreported(self, record: Record) -> list[Leftover]:
        if record.run not in self._left:
            self._made[record.run] = list(self._tasks.of(record))
            self._left[record.run] = self._of_use(record, self._made[record.run])
        return self._left[record.run]

    def made_by_others(self, run: str, scope: str, since: datetime) -> Iterator[Leftover]:
        """The jobs of tasks that other runs on the same files have made since."""
        return self._tasks.made_by_others(run, scope, since)

    def tasks_of(self, record: Record) -> list[Leftover]:
        """All tasks of a run whose leftovers were asked for, of no other; they are told once."""
        return [one for one in self._made.pop(record.run, ()) if one.mark.run == record.run]

    @property
    def reported(self) -> set[str]:
        """Tasks whose jobs are finished, as far as anybody remembers."""
        return self._known().union(*(other.reported for other in self.journals.records))

    def _of_use(self, record: Record, made: Iterable[Leftover]) -> list[Leftover]:
        reported = self.reported
        return [
            one
            for one in made
            if one.mark.run == record.run
            and one.task.id not in reported
            and one.task.known_status not in USELESS
        ]

    def leftovers(self, records: Iterable[Record]) -> Leftovers:
        """The tasks of these runs that can be taken up.

        Raises:
            CavaticaError: they cannot be found out.
        """
        records = list(records)
        for record in records:
            self._settle_drafts(record)
        found = Leftovers()
        found.finished = [task for record in records for task in self._known_here_only(record)]
        left = [one for record in records for one in self._unreported(record)]
        done = [one.task for one in left if one.task.status == TaskStatus.COMPLETED]
        outputs = {ref.path for task in done for ref in iter_files(task.outputs)}
        answers: dict[str, File | ApiError] = self._client.get_files(outputs)
        gone = {file for file, answer in answers.items() if isinstance(answer, NotFound)}
        seen = self._index.ids()
        for one in left:
            files = {ref.path for ref in iter_files(one.task.outputs)}
            if files and files <= seen:
                # For Snakemake it is finished: it was not yet known to have been left.
                found.finished.append(one.task.id)
                self._revealed.add(one.task.id)
            else:
                found.add(replace(one, is_whole=gone.isdisjoint(files)))
        return found

    def _known_here_only(self, record: Record) -> list[str]:
        """Tasks whose jobs are finished, of which no journal tells: other machines hide them."""
        only_here = self._known().difference(*(one.reported for one in self.journals.records))
        made = [one for one in self._made.get(record.run, ()) if one.mark.run == record.run]
        return [one.task.id for one in made if one.task.id in only_here]

    def _settle_drafts(self, record: Record) -> None:
        """See that no task for several jobs starts unseen: its jobs start anew, or are with it.

        The request that starts it may still be on its way, sent just before the run was killed.
        """
        left = self._unreported(record)
        for draft in self._tasks.unstarted.pop(record.run, ()):
            try:
                self._client.delete_task(draft, missing_ok=True)
            except BadRequest:
                task = self._client.get_task(draft)
                if task.status == TaskStatus.DRAFT:
                    raise
                jobs = list(self._tasks.jobs_of(task))
                self._made[record.run] += jobs
                left += self._of_use(record, jobs)


def _is_within(folder: str, scope: str, project: str) -> bool:
    if not scope.startswith(SCHEME):
        return False
    root = ProjectPath.parse(scope)
    return root.project == project and (
        not root.path or folder == root.path or folder.startswith(f"{root.path}/")
    )


def earlier_runs(connection: Connection, home: ProjectPath) -> EarlierRuns:
    """The runs that left a journal in the plugin's folder `home`, shared by all who ask.

    From then on the index of the project hides what they have left unreported.

    Raises:
        ConfigurationError: what this machine remembers of that cannot be read.
    """
    index = connection.index(home.project)
    known = index.veil
    if not isinstance(known, EarlierRuns):
        reported_tasks()  # told here at once; later it is asked for in the middle of other things
        known = index.veil = EarlierRuns(connection.client, index, home, reported_tasks)
    return known
