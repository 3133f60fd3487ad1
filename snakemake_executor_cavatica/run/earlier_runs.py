"""Taking up what was left: tasks of runs that died, and of attempts whose fate was not known.

A job that is planned again takes up its task instead of starting, and paying, another. Only what
was never reported as finished is taken up: Snakemake may have had its reasons to ask for the rest
anew (a forced rule, a deleted file), while nobody has yet decided anything about these.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..api import (
    ApiError,
    BadRequest,
    Client,
    ConfigurationError,
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
from .journal import JOURNAL, Record, State
from .orphans import USELESS, Orphan, Orphans
from .tasks_of_runs import TasksOfRuns

logger = logging.getLogger(__name__)

_MISSED_BEATS = 2.5
"""Signs of life that a living run does not miss."""
_LOOKS = 5
_LONG_SILENCE = 10
"""Signs of life; after so many, nobody need wait for the next one."""


class EarlierRuns:
    """The runs that left a journal in the plugin's folder of a project."""

    def __init__(
        self, client: Client, index: ProjectIndex, home: ProjectPath, known: Callable[[], set[str]]
    ) -> None:
        """`known` gives the tasks of which this machine remembers that they were reported."""
        self._client = client
        self._index = index
        self._home = home
        self._known = known
        self._records: list[Record] | None = None
        self._left: dict[str, list[Orphan]] = {}
        self._tasks = TasksOfRuns(client, home.project)
        self._silent: set[str] = set()
        self._revealed: set[str] = set()

    @property
    def records(self) -> list[Record]:
        """Their journals, as they were when first asked for."""
        if self._records is None:
            entries = self._index.children(self._home.path)
            names = [entry.path.rpartition("/")[2] for entry in entries]
            self._records = self._read(
                entry.id
                for entry, name in zip(entries, names, strict=True)
                if name.startswith(JOURNAL) and not entry.folder
            )
        return self._records

    def _read(self, files: Iterable[str]) -> list[Record]:
        answers = self._client.get_files(files).values()
        return Record.read(file for file in answers if isinstance(file, File))

    def is_over(self, record: Record) -> bool:
        """Whether a run is dead, as far as that can be known."""
        return record.is_over or record.run in self._silent

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
            for record in self.records
            if self.is_over(record) and self._may_have_made(record, folder, files)
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

    def _unreported(self, record: Record) -> list[Orphan]:
        if record.run not in self._left:
            self._left[record.run] = self._of_use(record, self._tasks.of(record))
        return self._left[record.run]

    def _of_use(self, record: Record, made: Iterable[Orphan]) -> list[Orphan]:
        reported = self._known().union(*(other.reported for other in self.records))
        return [
            one
            for one in made
            if one.mark.run == record.run
            and one.task.id not in reported
            and one.task.known_status not in USELESS
        ]

    def in_scope(self, scope: str) -> list[Record]:
        """The runs that worked on the same files."""
        return [record for record in self.records if record.scope == scope]

    def wait_until_over(self, record: Record, interval: float) -> None:
        """Wait to see whether a run is alive, if it may be; `interval` is between signs, seconds.

        Raises:
            ConfigurationError: it is.
        """
        if self.is_over(record):
            return
        if record.age() < _LONG_SILENCE * interval:
            self._listen(record, interval)
        self._silent.add(record.run)

    def _listen(self, record: Record, interval: float) -> None:
        patience = _MISSED_BEATS * interval
        logger.warning(
            "The run %s on %s worked on the same files, and may still do so. Waiting up to %.0f s "
            "for a sign of life.",
            record.run,
            record.host,
            patience,
        )
        end = time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(interval / 6)
            now = self._read(record.files)
            if not now or now[0].state is State.ENDED:
                raise ConfigurationError(
                    f"The run {record.run}, which worked on the same files, has ended at this "
                    "moment. Start again, so that its results are taken into account."
                )
            if now[0].is_over:
                return
            if now[0].seen != record.seen:
                raise conflict(record)

    def refresh(self) -> None:
        """Read the journals once more: time has passed since the workflow was parsed."""
        if self.records:
            self._records = self._read(file for record in self.records for file in record.files)

    def gives_signs(self, record: Record) -> bool:
        """Whether a run that was taken for dead is alive after all."""
        now = self._read(record.files)
        return bool(now) and now[0].seen != record.seen and not now[0].successor

    def orphans(self, records: Iterable[Record]) -> Orphans:
        """The tasks of these runs that can be taken up.

        Raises:
            CavaticaError: they cannot be found out.
        """
        records = list(records)
        for record in records:
            self._settle_drafts(record)
        found = Orphans()
        left = [one for record in records for one in self._unreported(record)]
        done = [one.task for one in left if one.task.status == TaskStatus.COMPLETED]
        outputs = {ref.path for task in done for ref in iter_files(task.outputs)}
        answers: dict[str, File | ApiError] = self._client.get_files(outputs)
        gone = {file for file, answer in answers.items() if isinstance(answer, NotFound)}
        seen = self._index.ids()
        for one in left:
            files = {ref.path for ref in iter_files(one.task.outputs)}
            # What was seen is finished for Snakemake; it was not yet known to have been left.
            if not files or not files <= seen:
                found.add(replace(one, is_whole=gone.isdisjoint(files)))
        return found

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
                left += self._of_use(record, self._tasks.jobs_of(task))

    def newcomers(self, own: str, scope: str) -> list[Record]:
        """Runs on the same files whose journals have appeared since, before our own did."""
        entry = self._index.find(self._home.path)
        if entry is None:
            return []
        known = {file for record in self.records for file in record.files}
        names = {
            file.id: file.name
            for file in self._client.list_files(parent=entry.id)
            if file.name.startswith(JOURNAL) and not file.is_folder and file.id not in known
        }
        if len(names) <= 1:
            return []
        records = self._read(names)
        for _ in range(_LOOKS):
            if all(record.scope for record in records):
                break
            time.sleep(1.0)  # one has just been stored, and does not say yet what it is about
            records = self._read(names)
        records.sort(key=lambda record: (record.began, record.run))
        ours = next((one for one in records if one.run == own), None)
        earlier = records[: records.index(ours)] if ours else records
        return [one for one in earlier if one.scope == scope and not one.is_over]


def conflict(record: Record) -> ConfigurationError:
    """The error for two runs on the same files."""
    where = record.scope if record.scope.startswith(SCHEME) else "this working directory"
    return ConfigurationError(
        f"The Snakemake run {record.run} on {record.host} works on the same files ({where}) at "
        "this moment, and two runs would overwrite each other's results. Wait until it has ended, "
        "or stop it; --nolock starts nevertheless."
    )


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
    """
    index = connection.index(home.project)
    known = index.veil
    if not isinstance(known, EarlierRuns):
        known = index.veil = EarlierRuns(connection.client, index, home, reported_tasks)
    return known
