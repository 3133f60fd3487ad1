"""Taking up what was left: tasks of runs that died, and of attempts whose fate was not known.

A job that is planned again takes up its task instead of starting, and paying, another. Only what
was never reported as finished is taken up: Snakemake may have had its reasons to ask for the rest
anew (a forced rule, a deleted file), while nobody has yet decided anything about these.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ..api import (
    ApiError,
    BadRequest,
    CavaticaError,
    Client,
    ConfigurationError,
    File,
    NotFound,
    Task,
    TaskStatus,
    iter_files,
)
from ..project.connection import Connection
from ..project.index import ProjectIndex
from ..project.local_record import reported_tasks
from ..project.paths import SCHEME, ProjectPath
from ..translate.job_key import JobKey, TaskMark, listed_of, read_job_list, run_of, task_mark_of
from ..translate.shared_task import packed_job_id, packed_job_of, task_id_of
from .journal import JOURNAL, Record, State

logger = logging.getLogger(__name__)

_USELESS = frozenset({TaskStatus.FAILED, TaskStatus.ABORTING, TaskStatus.ABORTED})
_BEST_FIRST = [TaskStatus.COMPLETED, TaskStatus.RUNNING, TaskStatus.QUEUED, TaskStatus.CREATING]
_TASK_FIELDS = "id,name,description,status,created_time,outputs,errors,parent,batch"
_WAITS_FOR_CHILDREN = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 120.0, 300.0)
"""Seconds between two looks."""
_IN_MAKING = frozenset({TaskStatus.DRAFT, TaskStatus.CREATING})
_CLOCKS_AGREE = timedelta(days=1)
"""How far the platform's clock and ours may be apart."""
_MISSED_BEATS = 2.5
"""Signs of life that a living run does not miss."""
_LOOKS = 5
_LONG_SILENCE = 10
"""Signs of life; after so many, nobody need wait for the next one."""


@dataclass(frozen=True)
class Orphan:
    """A task that nobody waits for."""

    task: Task
    mark: TaskMark
    names: Mapping[str, str] = field(default_factory=dict)
    """Stored names of its outputs by port, if it is a packed job."""
    is_whole: bool = True
    """Whether all of its results are there; others must still be hidden, but are no use."""

    @property
    def is_live(self) -> bool:
        """Whether it may cost money."""
        return not self.task.is_terminal and self.task.status != TaskStatus.DRAFT


class Orphans:
    """Tasks that wait for their job to be planned again. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_job: defaultdict[str, list[Orphan]] = defaultdict(list)

    def add(self, orphan: Orphan) -> None:
        """Keep a task for its job, as it now is."""
        if orphan.task.known_status not in _USELESS:
            self.forget([orphan.task.id])
            with self._lock:
                self._by_job[orphan.mark.key.job].append(orphan)

    def claim(self, key: JobKey) -> Orphan | None:
        """The task that does this very job, or has done it; from now on it is the caller's."""
        with self._lock:
            same = [one for one in self._by_job[key.job] if one.mark.key == key and one.is_whole]
            if not same:
                return None
            best = min(same, key=_rank)
            self._by_job[key.job].remove(best)
            return best

    def superseded(self, key: JobKey) -> list[Task]:
        """What else is under way for the job; its inputs or its code were others.

        Results of such tasks stay on record, and hidden, until the job has new ones.
        """
        with self._lock:
            several = self._by_job[key.job]
            done = [one for one in several if one.task.status == TaskStatus.COMPLETED]
            self._by_job[key.job] = done
            return [one.task for one in several if one not in done]

    def settle(self, job: str) -> None:
        """The job has its results: what else was done for it is of no use any more."""
        with self._lock:
            self._by_job.pop(job, None)

    def forget(self, tasks: Iterable[str]) -> None:
        """These tasks are of no use any more."""
        stopped = set(tasks)
        with self._lock:
            for job, several in self._by_job.items():
                self._by_job[job] = [one for one in several if one.task.id not in stopped]

    def attempt(self, job: str) -> int:
        """The latest attempt at a job (rule and wildcards, hashed); 0 if there is none."""
        with self._lock:
            return max((one.mark.attempt for one in self._by_job.get(job, ())), default=0)

    @property
    def left(self) -> list[Orphan]:
        """Those that no job has asked for."""
        with self._lock:
            return [one for several in self._by_job.values() for one in several]


def children_of(client: Client, parent: Task, number: int, *, fields: str) -> list[Task]:
    """The children of a batch that was started; it makes them by and by.

    Fewer than `number` only if it has ended without them.

    Args:
        fields: what is wanted of them; the status has to be among it.

    Raises:
        CavaticaError: they cannot be listed, or the batch does not get them made.
    """
    for wait in _WAITS_FOR_CHILDREN:
        client.stop.wait(wait)
        ended = wait > 0 and client.get_task(parent.id, fields="id,status").is_terminal
        children = list(client.list_tasks(parent=parent.id, fields=fields))
        are_made = not any(child.known_status in _IN_MAKING for child in children)
        if ended or (len(children) >= number and are_made):
            return children
    raise CavaticaError(f"The batch task {parent.name!r} does not get its children made.")


def _rank(orphan: Orphan) -> int:
    status = orphan.task.known_status
    return _BEST_FIRST.index(status) if status in _BEST_FIRST else len(_BEST_FIRST)


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
        self._drafts: defaultdict[str, list[str]] = defaultdict(list)
        """By run: tasks for several jobs that were not started when they were looked at."""
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

    # ------------------------------------------------------------------- what is not to be seen

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
            self._left[record.run] = self._of_use(record, self._made_by(record))
        return self._left[record.run]

    def _of_use(self, record: Record, made: Iterable[Orphan]) -> list[Orphan]:
        reported = self._known().union(*(other.reported for other in self.records))
        return [
            one
            for one in made
            if one.mark.run == record.run
            and one.task.id not in reported
            and one.task.known_status not in _USELESS
        ]

    def _made_by(self, record: Record) -> Iterator[Orphan]:
        """The tasks of a run, with those that are children of its batches."""
        listed = self._client.list_tasks(
            project=self._home.project,
            created_from=record.began - timedelta(minutes=1),
            created_to=_last_sign(record),
            fields=_TASK_FIELDS,
        )
        for task in list(listed):
            if task.parent is not None or run_of(task) != record.run:
                continue  # whether listings hold children as well is not documented
            if task.status == TaskStatus.DRAFT and (task.batch or task_mark_of(task) is None):
                self._drafts[record.run].append(task.id)
            else:
                yield from self._jobs_of(task)

    def _jobs_of(self, task: Task) -> Iterator[Orphan]:
        mark = task_mark_of(task)
        if mark is not None:  # also a batch that was started as one task
            yield Orphan(task, mark)
        elif task.batch:
            yield from self._children(task)
        else:
            yield from self._pieces(task)

    def _pieces(self, pack: Task) -> Iterator[Orphan]:
        for listed in read_job_list(self._client.get_task(pack.id)):
            identifier = packed_job_id(pack.id, listed.mark.jobid)
            packed = packed_job_of(pack, identifier, listed.outputs)
            has_failed = pack.status == TaskStatus.COMPLETED and not packed.outputs
            if not has_failed:
                yield Orphan(packed, listed.mark, listed.outputs)

    def _children(self, parent: Task) -> Iterator[Orphan]:
        job_list = read_job_list(self._client.get_task(parent.id))
        fields = f"{_TASK_FIELDS},inputs"
        for child in children_of(self._client, parent, len(job_list), fields=fields):
            listed = listed_of(child, job_list)
            if listed is not None:
                yield Orphan(child.bare, listed.mark)

    # --------------------------------------------------------------------------- taking it up

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
        for draft in self._drafts.pop(record.run, ()):
            try:
                self._client.delete_task(draft, missing_ok=True)
            except BadRequest:
                task = self._client.get_task(draft)
                if task.status == TaskStatus.DRAFT:
                    raise
                left += self._of_use(record, self._jobs_of(task))

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


def _last_sign(record: Record) -> datetime | None:
    try:
        seen = datetime.fromisoformat(record.seen)
    except ValueError:
        return None
    return (seen if seen.tzinfo else seen.replace(tzinfo=UTC)) + _CLOCKS_AGREE


def earlier_runs(connection: Connection, home: ProjectPath) -> EarlierRuns:
    """The runs that left a journal in the plugin's folder `home`, shared by all who ask.

    From then on the index of the project hides what they have left unreported.
    """
    index = connection.index(home.project)
    known = index.veil
    if not isinstance(known, EarlierRuns):
        known = index.veil = EarlierRuns(connection.client, index, home, reported_tasks)
    return known
