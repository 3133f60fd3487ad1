"""What jobs of the same rules have cost and taken before: by the records here, and by the project.

Listings of tasks cannot be filtered by app, so the newest thousand serve all rules: ten requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..api import Client, Task, TaskStatus, is_on_loopback
from ..observe.entries import Attempt, Status
from ..observe.jobs import job_of
from ..observe.record import newest_records
from ..project.connection import Connection
from ..translate.app import app_name, name_in
from ..translate.job_key import number_of_jobs, run_of, task_mark_of
from ..translate.shared_task import task_id_of

MOST_TASKS = 1000
"""Of a project: ten listings."""
_FIELDS = (
    "id,name,description,status,app,price,execution_status,start_time,end_time,parent,batch,"
    "use_interruptible_instances"
)


@dataclass(frozen=True)
class Sample:
    """A job that was done before, or several that shared a task; all attempts count."""

    app: str
    """Name of the rule's app."""
    cost: float
    seconds: float
    """That its instances ran."""
    spot: bool | None = None
    jobs: int = 1
    bytes_out: int | None = None


@dataclass(frozen=True)
class History:
    """All that is known of earlier jobs."""

    samples: tuple[Sample, ...] = ()
    currency: str = ""
    tasks: int = 0
    """Tasks of the project that were looked at."""
    records: int = 0
    """Records of runs on this machine that were."""
    apps: frozenset[str] = frozenset()
    """Names of apps whose tasks were started by this plugin."""


@dataclass
class _Job:
    """The attempts at one job."""

    app: str
    cost: float = 0.0
    seconds: float = 0.0
    spot: bool | None = None
    jobs: int = 1
    bytes_out: int | None = None
    is_done: bool = False
    is_priced: bool = False

    def add(self, cost: float | None, seconds: float | None, *, is_done: bool) -> None:
        """One more attempt."""
        self.is_priced = self.is_priced or cost is not None
        self.cost += cost or 0.0
        self.seconds += seconds or 0.0
        self.is_done = self.is_done or is_done

    @property
    def sample(self) -> Sample:
        """All of them together."""
        return Sample(self.app, self.cost, self.seconds, self.spot, self.jobs, self.bytes_out)


class Historian:
    """Puts samples together, each task once."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, _Job] = {}
        self._tasks: set[str] = set()
        """Those that a record tells of."""
        self._currency = ""
        self._apps: set[str] = set()
        self._looked_at = self._records = 0

    def read_records(self, directory: Path, connection: Connection) -> None:
        """The records of runs of this directory that were on this platform."""
        for record in newest_records(directory):
            if record.runs and _is_there(record.runs[-1].endpoint, connection):
                self._records += 1
                self.note_attempts(record.attempts)

    def note_attempts(self, attempts: Iterable[Attempt]) -> None:
        """The attempts of one record."""
        for one in attempts:
            if one.task is None or one.kind not in ("job", "group"):
                continue
            self._tasks.update(task_id_of(task) for task in (one.task, one.parent) if task)
            app = app_name(one.rule)
            self._apps.add(app)
            job = self._jobs.setdefault((one.run, job_of(one)), _Job(app))
            job.add(one.price, one.run_seconds, is_done=one.status is Status.DONE)
            job.spot = one.spot if one.spot is not None else job.spot
            job.bytes_out = one.measured.output_bytes or one.bytes_out or job.bytes_out
            self._currency = one.currency or self._currency

    def ask(self, client: Client, project: str) -> None:
        """The newest tasks of a project.

        Raises:
            CavaticaError: they cannot be listed.
        """
        listed = client.list_tasks(project=project, order="desc", fields=_FIELDS)
        self.note_tasks(islice(listed, MOST_TASKS))

    def note_tasks(self, tasks: Iterable[Task]) -> None:
        """Tasks of which no record here tells."""
        for task in tasks:
            self._looked_at += 1
            run = run_of(task)
            # Whether listings hold the children of batches is not documented: the batch counts.
            if run is None or task.parent is not None:
                continue
            app = name_in(task.app or "")
            self._apps.add(app)
            if task.id in self._tasks:
                continue
            mark = task_mark_of(task)
            key = task.id if mark is None else (run, app, mark.jobid)
            job = self._jobs.setdefault(key, _Job(app, jobs=number_of_jobs(task)))
            price = None if task.price is None else task.price.amount
            is_done = task.known_status is TaskStatus.COMPLETED
            job.add(price if task.is_terminal else None, task.run_seconds, is_done=is_done)
            job.spot = task.use_interruptible_instances
            if task.price is not None:
                self._currency = task.price.currency or self._currency

    @property
    def history(self) -> History:
        """Jobs that were done, and have a price."""
        return History(
            tuple(one.sample for one in self._jobs.values() if one.is_done and one.is_priced),
            self._currency,
            self._looked_at,
            self._records,
            frozenset(self._apps),
        )


def _is_there(endpoint: str, connection: Connection) -> bool:
    """Whether a run was on this platform; embedded ones have another port at each start."""
    is_same = endpoint == connection.client.endpoint
    return is_same or (connection.is_local and is_on_loopback(endpoint))


def by_app(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each rule."""
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for one in samples:
        found[one.app].append(one)
    return dict(found)
