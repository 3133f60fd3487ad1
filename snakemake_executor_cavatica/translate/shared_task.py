"""A packed job, which shares its task with others, as if it had a task of its own. Pure.

Its id is the task's with the job's behind it. It goes wherever ids of tasks go, but for
the platform, which is asked for the real one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from ..api.models import FileRef, Task, iter_files
from .measured import MEASURED, lines_of_jobs
from .small_outputs import GATHERED

_BETWEEN = "#"
_RENAMED = re.compile(r"^_[0-9]+_")


def packed_job_id(task_id: str, jobid: str) -> str:
    """What identifies a packed job."""
    return f"{task_id}{_BETWEEN}{jobid}"


def task_id_of(identifier: str) -> str:
    """The real task, of a packed job or of itself."""
    return identifier.partition(_BETWEEN)[0]


def jobid_of(identifier: str) -> str:
    """The packed job; empty for a task that is not shared."""
    return identifier.partition(_BETWEEN)[2]


def is_packed_job(identifier: str) -> bool:
    """Whether other jobs share its task."""
    return _BETWEEN in identifier


class SharedTask:
    """A task that several jobs share."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._files: dict[str, dict[str, FileRef]] = {}
        """By port and name: looked up once for all packed jobs."""

    def packed_job(self, identifier: str, names: Mapping[str, str]) -> Task:
        """The task as one of its jobs sees it: with its own outputs, whose names by port are given.

        Named like a child of the task, since it is stopped and collected like one.
        """
        outputs: dict[str, object] = {
            port: self._named(port)[name].to_value()
            for port, name in names.items()
            if name in self._named(port)
        }
        if GATHERED in self._task.outputs:
            outputs[GATHERED] = self._task.outputs[GATHERED]
        line = self._measured.get(jobid_of(identifier))
        if line is not None:
            outputs[MEASURED] = line
        own = {"id": identifier, "parent": self._task.id, "outputs": outputs}
        return self._task.model_copy(update=own)

    @cached_property
    def _measured(self) -> Mapping[str, str]:
        """What was measured, by job."""
        return lines_of_jobs(self._task.outputs.get(MEASURED))

    def _named(self, port: str) -> dict[str, FileRef]:
        if port not in self._files:
            found = {ref.name or "": ref for ref in iter_files(self._task.outputs.get(port))}
            # Where the name was taken, the platform has put `_1_` before it.
            plain = {_RENAMED.sub("", one): ref for one, ref in found.items()}
            self._files[port] = {**plain, **found}
        return self._files[port]


def packed_job_of(task: Task, identifier: str, names: Mapping[str, str]) -> Task:
    """One packed job of a task; see `SharedTask.packed_job`."""
    return SharedTask(task).packed_job(identifier, names)
