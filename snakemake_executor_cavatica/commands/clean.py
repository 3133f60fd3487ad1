"""What runs of the plugin leave on the platform besides results, and how it is removed.

A run leaves drafts that were never started (after a crash), the outputs of its tasks where they are
not results in themselves (`<folder>/runs/<run id>`), and it shares uploaded inputs and copies from
other projects, imported objects and conda environments with all other runs (`<folder>/inputs`,
`<folder>/references`, `<folder>/drs`, `<folder>/environments`). Only what bears the
plugin's own marks is touched, since people choose the folder and may have put other things there.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..api import BadRequest, Client, File, Task, iter_files
from ..project.find_folder import find_folder
from ..run.journal import JOURNAL, Record
from ..run.run_id import began_at
from ..translate.job_key import run_of

_UPLOADED = re.compile(r"[0-9a-f]{16}-.+|[0-9a-f]{32}-sources\.tar|[0-9a-f]{64}", re.DOTALL)
"""Names of files in `inputs`: they start with a checksum."""
_COPIED = re.compile(r"[0-9a-f]{24}(-.+)?", re.DOTALL)
"""Names in `references`: they start with the id of the original."""
_MADE = re.compile(r"[0-9a-f]{32}\.tar|_[0-9]+_[0-9a-f]{32}\.tar")
"""Names in `environments`; the platform numbers those that were made twice at a time."""
_IMPORTED = re.compile(r"[0-9a-f]{16}(-.+)?", re.DOTALL)
"""Names in `drs`; they start with a checksum of the object's address."""
_SHARED = {"drs": _IMPORTED, "inputs": _UPLOADED, "references": _COPIED, "environments": _MADE}
_TASK_FIELDS = "id,name,description,status,created_time,parent,inputs"
_LISTING_CALLS = 200
"""Calls spent on sizes, one for each folder: a fifth of what the platform allows in 5 minutes."""


@dataclass(frozen=True)
class CleanRequest:
    """What the user wants removed."""

    project: str
    folder: str = "snakemake"
    older_than: timedelta | None = None
    runs: frozenset[str] = frozenset()
    """Only these runs; empty for all."""

    def path(self, *parts: str) -> str:
        """A path in the plugin's folder."""
        return posixpath.join(self.folder, *parts)


@dataclass(frozen=True)
class Kept:
    """Something that stays, and the reason."""

    what: str
    why: str


@dataclass(frozen=True)
class ToDelete:
    """Files and folders that go together; `label` is how people know them."""

    label: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    count: int
    size: int
    exact: bool
    """Whether everything was counted; otherwise `count` and `size` are lower bounds."""


@dataclass
class Survey:
    """What would be deleted and what would stay."""

    drafts: list[Task] = field(default_factory=list)
    live: list[Task] = field(default_factory=list)
    """Tasks of the plugin that are queued or running."""
    to_delete: list[ToDelete] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    known_runs: set[str] = field(default_factory=set)
    """All that have left something."""
    unknown_runs: set[str] = field(default_factory=set)
    """Those that were asked for and have left no draft, no journal and no folder."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not self.drafts and not self.to_delete


# --------------------------------------------------------------------------- the tasks


@dataclass(frozen=True)
class ProjectTasks:
    """The drafts and the live tasks of a project, whoever made them."""

    drafts: list[Task]
    live: list[Task]

    @property
    def ours(self) -> list[Task]:
        """The plugin's among the live ones."""
        return [task for task in self.live if run_of(task)]


def look_at_tasks(client: Client, project: str) -> ProjectTasks:
    """One listing per status: a project has few such tasks, but thousands that are finished.

    In the order in which a task goes through them, and QUEUED twice, because running tasks fall
    back to it: so no task slips through between two listings.
    """
    drafts = {task.id: task for task in _with_status(client, project, "DRAFT")}
    live = {task.id: task for task in _being_created(client, project)}
    for status in ("QUEUED", "RUNNING", "QUEUED", "ABORTING"):
        live |= {task.id: task for task in _with_status(client, project, status)}
    return ProjectTasks(
        [task for task in drafts.values() if task.id not in live and run_of(task)],
        list(live.values()),
    )


def _with_status(client: Client, project: str, status: str) -> Iterator[Task]:
    return client.list_tasks(project=project, status=status, fields=_TASK_FIELDS)


def _being_created(client: Client, project: str) -> list[Task]:
    """Batch tasks that make their children; the platform may not know this status as a filter."""
    try:
        return list(_with_status(client, project, "CREATING"))
    except BadRequest:
        yesterday = client.transport.clock.now() - timedelta(days=1)
        recent = client.list_tasks(project=project, created_from=yesterday, fields=_TASK_FIELDS)
        return [task for task in recent if task.status == "CREATING"]


def _folders_in_use(client: Client, tasks: Iterable[Task]) -> set[str]:
    """Ids of the inputs of tasks and of every folder above them, level by level in bulk."""
    above: set[str] = set()
    level = {ref.path for task in tasks for ref in iter_files(task.inputs)}
    while level:
        above |= level
        answers = client.get_files(level).values()
        parents = {file.parent for file in answers if isinstance(file, File) and file.parent}
        level = parents - above
    return above


# --------------------------------------------------------------------------- the survey


def survey(client: Client, request: CleanRequest) -> Survey:
    """Look at everything, change nothing."""
    return _Surveyor(client, request, look_at_tasks(client, request.project)).survey()


class _Surveyor:
    def __init__(self, client: Client, request: CleanRequest, tasks: ProjectTasks) -> None:
        self._client = client
        self._request = request
        self._tasks = tasks
        now, age = client.transport.clock.now(), request.older_than
        self._cutoff = None if age is None else now - age
        self._live_runs = {run_of(task) for task in tasks.ours}
        self._journals: set[str] = set()
        drafts = {run_of(task) for task in tasks.drafts}
        self._known_runs = {run for run in drafts | self._live_runs if run}
        self._in_use: set[str] = set()
        self._last_call = 0
        self._result = Survey(live=tasks.ours)

    def survey(self) -> Survey:
        home = find_folder(self._client, self._request.project, self._request.folder)
        content = [] if home is None else list(self._client.list_files(parent=home.id))
        self._survey_journals(content)
        self._result.drafts = [task for task in self._tasks.drafts if self._is_wanted_draft(task)]
        if home is not None:
            parts = {file.name: file for file in content if file.is_folder}
            if parts:
                self._in_use = _folders_in_use(self._client, self._tasks.live)
            self._last_call = self._client.transport.requests_sent + _LISTING_CALLS
            if "runs" in parts:
                self._survey_runs(parts["runs"])
            for name, pattern in _SHARED.items():
                if name in parts:
                    self._survey_shared(parts[name], pattern)
        self._result.known_runs = self._known_runs
        self._result.unknown_runs = set(self._request.runs) - self._known_runs
        return self._result

    def _is_wanted_draft(self, task: Task) -> bool:
        run = run_of(task)
        if self._request.runs and run not in self._request.runs:
            return False
        if run in self._live_runs | self._journals:
            self._keep(f"draft {task.id} ({task.name})", "its run is under way and may start it")
            return False
        return self._is_old(task.created_time)

    def _is_old(self, moment: datetime | None) -> bool:
        """What has no date is not known to be old."""
        return self._cutoff is None or (moment is not None and moment <= self._cutoff)

    def _keep(self, what: str, why: str) -> None:
        self._result.kept.append(Kept(what, why))

    def _survey_journals(self, content: list[File]) -> None:
        """Runs have a journal while they are under way, also when none of their tasks runs."""
        for record in Record.read(content):
            self._known_runs.add(record.run)
            path = self._request.path(f"{JOURNAL}{record.run}")
            files = [file for file in content if file.id in record.files]
            if record.run in self._request.runs and record.run not in self._live_runs:
                self._add(path, files)
            else:
                self._journals.add(record.run)
                self._keep(path, self._why_kept(record.run))

    def _why_kept(self, run: str) -> str:
        if run in self._live_runs:
            return "tasks of this run are queued or running. If nobody needs them, abort them first"
        return (
            "the run has not ended, or its next start takes up what it has left. If nobody needs "
            f"that, say so with --runs {run}"
        )

    def _survey_runs(self, runs: File) -> None:
        for folder in sorted(self._client.list_files(parent=runs.id), key=lambda file: file.name):
            path = self._request.path("runs", folder.name)
            self._known_runs.add(folder.name)
            began = began_at(folder.name)
            if not folder.is_folder or began is None:
                self._keep(path, "it was not made by the plugin")
            elif not self._request.runs or folder.name in self._request.runs:
                self._survey_run(folder, path, began)

    def _survey_run(self, folder: File, path: str, began: datetime) -> None:
        if folder.name in self._live_runs:
            self._keep(path, "tasks of this run are queued or running")
        elif folder.name in self._journals:
            self._keep(path, "this run has not ended")
        elif folder.id in self._in_use:
            self._keep(path, "a task that is queued or running uses a file in it")
        elif self._is_old(began):
            self._add(path, [folder])

    def _survey_shared(self, folder: File, pattern: re.Pattern[str]) -> None:
        """Inputs or references: shared by all runs, so they go only if no run is under way."""
        path = self._request.path(folder.name)
        if self._request.runs:
            self._keep(path, "all runs share it, and --runs names some")
            return
        if self._tasks.ours:
            number = len(self._tasks.ours)
            self._keep(path, f"{number} tasks of the plugin are queued or running and may use it")
            return
        if self._journals:
            self._keep(path, f"{len(self._journals)} runs have not ended and may use it")
            return
        entries = list(self._client.list_files(parent=folder.id))
        ours = [entry for entry in entries if pattern.fullmatch(entry.name)]
        used = [entry for entry in ours if entry.id in self._in_use]
        old = [
            entry
            for entry in ours
            if self._is_old(entry.created_on) and entry.id not in self._in_use
        ]
        if len(ours) < len(entries):
            self._keep(path, f"{len(entries) - len(ours)} entries were not made by the plugin")
        if used:
            self._keep(path, f"tasks that are queued or running use {len(used)} of its entries")
        if len(old) == len(entries):
            self._add(path, [folder], known={folder.id: entries})
        elif old:
            self._add(f"{path} (in part)", old)

    def _add(
        self, label: str, entries: list[File], known: Mapping[str, list[File]] | None = None
    ) -> None:
        """Count what is in the entries, as far as the calls for it go."""
        count = size = 0
        exact = True
        waiting = deque(entries)
        while waiting:
            entry = waiting.popleft()
            if not entry.is_folder:
                count, size = count + 1, size + (entry.size or 0)
            elif known and entry.id in known:
                waiting.extend(known[entry.id])
            elif self._client.transport.requests_sent < self._last_call:
                waiting.extend(self._client.list_files(parent=entry.id))
            else:
                exact = False
        self._result.to_delete.append(
            ToDelete(
                label,
                tuple(entry.id for entry in entries if not entry.is_folder),
                tuple(entry.id for entry in entries if entry.is_folder),
                count,
                size,
                exact,
            )
        )
