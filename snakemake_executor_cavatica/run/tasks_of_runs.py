"""Which tasks a run has started, and which jobs they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from ..api import ApiError, CavaticaError, Client, Forbidden, NotFound, Task, TaskStatus
from ..translate.job_key import (
    Listed,
    has_scope,
    listed_of,
    read_job_list,
    run_of,
    task_mark_of,
)
from ..translate.measured import measured_by
from ..translate.shared_task import packed_job_id, packed_job_of
from .journal import Record
from .leftovers import Leftover

TASK_FIELDS = (
    "id,name,description,status,created_time,outputs,errors,parent,batch,"
    "app,start_time,end_time,execution_status,use_interruptible_instances,price"
)
_WAITS_FOR_CHILDREN = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 120.0, 300.0)
"""Seconds between two looks."""
_IN_MAKING = frozenset({TaskStatus.DRAFT, TaskStatus.CREATING})
_CLOCKS_AGREE = timedelta(days=1)
"""How far the platform's clock and ours may be apart."""


def tasks_as_seen(
    client: Client, project: str, ids: Iterable[str], *, fields: str | None = None
) -> dict[str, Task | ApiError]:
    """Tasks of a project by their ids, a request for each hundred.

    None is said to be missing where the whole project is out of reach: it may go on there.

    Raises:
        ApiError: the platform does not answer.
    """
    answers = client.get_tasks(ids, fields=fields)
    missing = [task for task, answer in answers.items() if isinstance(answer, NotFound)]
    if missing:
        try:
            client.project(project)
        except NotFound:
            unseen = Forbidden(
                f"The project {project} cannot be seen any more: it was deleted, or the owner of "
                "this token is no member of it now"
            )
            answers |= dict.fromkeys(missing, unseen)
    return answers


def children_of(
    client: Client, parent: Task, number: int, *, fields: str, is_new: bool = False
) -> list[Task]:
    """The children of a batch that was started; it makes them by and by.

    Fewer than `number` only if it has ended without them.

    Args:
        fields: what is wanted of them; the status has to be among it.
        is_new: whether it was started just now, so that a look at once would be in vain.

    Raises:
        CavaticaError: they cannot be listed, or the batch does not get them made.
    """
    for look, wait in enumerate(_WAITS_FOR_CHILDREN[2 if is_new else 0 :]):
        client.stop.wait(wait)
        ended = look > 0 and client.get_task(parent.id, fields="id,status").is_terminal
        children = list(client.list_tasks(parent=parent.id, fields=fields))
        are_made = not any(child.known_status in _IN_MAKING for child in children)
        if ended or (len(children) >= number and are_made):
            return children
    raise CavaticaError(f"The batch task {parent.name!r} does not get its children made.")


def _last_sign(record: Record) -> datetime | None:
    try:
        seen = datetime.fromisoformat(record.seen)
    except ValueError:
        return None
    return (seen if seen.tzinfo else seen.replace(tzinfo=UTC)) + _CLOCKS_AGREE


def packed_jobs(pack: Task, whole: Task, *, are_in_place: bool = False) -> Iterator[Leftover]:
    """The jobs of a pack, each as if it had a task of its own.

    Args:
        whole: the same task with its inputs.
        are_in_place: whether its outputs may have been moved since, and have other names.
    """
    for listed in read_job_list(whole):
        identifier = packed_job_id(pack.id, listed.mark.jobid)
        packed = packed_job_of(pack, identifier, listed.outputs)
        if pack.status == TaskStatus.COMPLETED and not _is_whole(packed, listed, are_in_place):
            packed = packed.model_copy(update={"status": TaskStatus.FAILED})
        yield Leftover(packed, listed.mark, listed.outputs)


def _is_whole(packed: Task, listed: Listed, are_in_place: bool) -> bool:
    """Whether a packed job has succeeded: a pack does whatever becomes of its jobs."""
    measured = measured_by(packed)
    if measured.exit_status:
        return False
    if are_in_place and measured.is_told:
        return True
    return listed.outputs.keys() <= packed.outputs.keys()


class TasksOfRuns:
    """The tasks that earlier runs have started in one project."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._project = project
        self.unstarted: defaultdict[str, list[str]] = defaultdict(list)
        """By run: tasks for several jobs that were not started when they were looked at."""

    def of(self, record: Record) -> Iterator[Leftover]:
        """The tasks of a run, with those that are children of its batches."""
        listed = self._client.list_tasks(
            project=self._project,
            created_from=record.began - timedelta(minutes=1),
            created_to=_last_sign(record),
            fields=TASK_FIELDS,
        )
        for task in list(listed):
            if task.parent is not None or run_of(task) != record.run:
                continue  # whether listings hold children as well is not documented
            if task.status == TaskStatus.DRAFT and (task.batch or task_mark_of(task) is None):
                self.unstarted[record.run].append(task.id)
            else:
                yield from self.jobs_of(task)

    def made_by_others(self, run: str, scope: str, since: datetime) -> Iterator[Leftover]:
        """The jobs of tasks that other runs on the same files have made since."""
        listed = self._client.list_tasks(
            project=self._project, created_from=since, fields=TASK_FIELDS
        )
        for task in list(listed):
            is_theirs = run_of(task) not in (None, run) and has_scope(task, scope)
            is_begun = task.status != TaskStatus.DRAFT
            if task.parent is None and is_theirs and is_begun:
                yield from self.jobs_of(task)

    def jobs_of(self, task: Task) -> Iterator[Leftover]:
        """The jobs of one task, each as if it had a task of its own."""
        mark = task_mark_of(task)
        if mark is not None:  # also a batch that was started as one task
            yield Leftover(task, mark)
        elif task.batch:
            yield from self._children(task)
        else:
            yield from packed_jobs(task, self._client.get_task(task.id))

    def _children(self, parent: Task) -> Iterator[Leftover]:
        job_list = read_job_list(self._client.get_task(parent.id))
        fields = f"{TASK_FIELDS},inputs"
        for child in children_of(self._client, parent, len(job_list), fields=fields):
            listed = listed_of(child, job_list)
            if listed is not None:
                yield Leftover(child.bare, listed.mark)
