"""Which earlier task made a file that a job misses: a job has only what it declares.

What a task made as its outputs the platform knows; what else it made each task tells in its stderr.
That is read only once a job has failed, of the tasks that its inputs come from, by what the
platform knows of them: so it does not matter which run they belong to, and costs nothing while all
goes well.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from ..api import Client, File, Task, iter_files
from ..api.download import download
from ..translate.task_report import JobReport, stretches
from .evidence import SideFile
from .foreign_text import is_named

_MOST_TASKS = 20
"""That are asked for one job, the nearest ones first."""
_MOST_INPUTS = 500
"""Of all tasks at the same distance, that are looked up."""
_LONGEST_STDERR = 16_000_000


class SideFiles:
    """Finds them for the jobs of one run. Safe to use from several threads."""

    def __init__(self, client: Client, page: Callable[[str], str]) -> None:
        self._client = client
        self._page = page
        self._lock = threading.Lock()
        self._known: dict[str, list[str]] = {}
        """What each task left, by its id: thousands of jobs may fail for the same reason."""

    def missed_by(self, task_id: str, text: str) -> list[SideFile]:
        """What tasks before this one made that it did not get: the files that the text names, or
        else all that the tasks left undeclared which made its inputs, and, if the text is about
        an index, what they made that is called like these.

        Raises:
            CavaticaError: the platform does not tell.
        """
        nearest: list[SideFile] = []
        level, seen = [task_id], {task_id}
        inputs: dict[str, None] | None = None
        while level and len(seen) <= _MOST_TASKS:
            ids = self._inputs(level)
            inputs = ids if inputs is None else inputs
            makers = self._makers(ids, seen)
            found = [
                one for task, beside in makers for one in self._others(task, beside, inputs, text)
            ]
            if named := [one for one in found if one.is_named]:
                return named
            nearest = nearest or found
            level = [task.id for task, _ in makers]
            seen.update(level)
        return nearest

    def _others(
        self, task: Task, beside: str, inputs: Collection[str], text: str
    ) -> Iterator[SideFile]:
        """What a task made beside one of its outputs, and that is not among the inputs."""
        side = partial(SideFile, task=task.name, link=self._page(task.id), beside=beside)
        for path in self._left_by(task.id):
            yield side(path, is_named=is_named(path, text))
        like = f"{PurePosixPath(beside).stem}."
        for ref in iter_files(task.outputs):
            if ref.name is None or ref.path in inputs:
                continue
            is_index = ref.name.startswith(like) and "index" in text.lower()
            if (named := is_named(ref.name, text)) or is_index:
                yield side(ref.name, is_named=named, is_declared=True)

    def inputs_named_in(self, text: str, task_id: str) -> dict[str, str]:
        """The names of a task's input files, by their ids, if a text speaks of them.

        Raises:
            CavaticaError: the platform does not tell.
        """
        inputs = iter_files(self._client.get_task(task_id).inputs)
        return {ref.path: ref.name or "" for ref in inputs if ref.path in text}

    def _inputs(self, task_ids: list[str]) -> dict[str, None]:
        """The ids of all inputs of these tasks, in order."""
        tasks = self._client.get_tasks(task_ids, fields="id,name,inputs").values()
        inputs = (iter_files(task.inputs) for task in tasks if isinstance(task, Task))
        return dict.fromkeys(ref.path for refs in inputs for ref in refs)

    def _makers(self, ids: Iterable[str], seen: set[str]) -> list[tuple[Task, str]]:
        """The tasks that made these files, and the name of such a file."""
        files = self._client.get_files(islice(ids, _MOST_INPUTS)).values()
        origins: dict[str, str] = {}
        for file in files:
            if isinstance(file, File) and file.origin_task and file.origin_task not in seen:
                origins.setdefault(file.origin_task, file.name)
        wanted = list(islice(origins, max(0, _MOST_TASKS + 1 - len(seen))))
        found = self._client.get_tasks(wanted, fields="id,name,outputs") if wanted else {}
        return [
            (task, origins[task_id]) for task_id, task in found.items() if isinstance(task, Task)
        ]

    def _left_by(self, task_id: str) -> list[str]:
        with self._lock:
            known = self._known.get(task_id)
        if known is None:
            known = self._read(task_id)
            with self._lock:
                self._known[task_id] = known
        return known

    def _read(self, task_id: str) -> list[str]:
        """What a task tells in its stderr, unless that is too long to be fetched for this."""
        file_id = self._client.execution_details(task_id).stderr_file_id
        size = self._client.get_file(file_id).size if file_id is not None else None
        if file_id is None or size is None or size > _LONGEST_STDERR:
            return []
        report = JobReport()
        with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
            stderr = Path(scratch, "stderr")
            download(self._client, file_id, stderr, size=size)
            for _ in stretches(stderr.read_bytes(), report):
                pass
        return list(dict.fromkeys(report.undeclared))
