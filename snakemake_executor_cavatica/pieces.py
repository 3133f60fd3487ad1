"""The jobs of a pack as if each had a task of its own: a piece of the real one. Pure.

The id of a piece is the task's with the job's behind it. It goes wherever ids of tasks go, but for
the platform, which is asked for the real one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .api import Task, iter_files

_BETWEEN = "#"
_RENAMED = re.compile(r"_[0-9]+_")


def piece_id(task_id: str, jobid: str) -> str:
    """What identifies a job of a pack."""
    return f"{task_id}{_BETWEEN}{jobid}"


def task_id_of(identifier: str) -> str:
    """The real task, of a piece or of itself."""
    return identifier.partition(_BETWEEN)[0]


def jobid_of(identifier: str) -> str:
    """The job of a piece; empty for a task that is none."""
    return identifier.partition(_BETWEEN)[2]


def is_piece(identifier: str) -> bool:
    """Whether other jobs share its task."""
    return _BETWEEN in identifier


def piece_of(task: Task, identifier: str, names: Mapping[str, str]) -> Task:
    """The task as one of its jobs sees it: with its own outputs, whose names by port are given.

    Named like a child of the task, since it is stopped and collected like one.
    """
    outputs = {}
    for port, name in names.items():
        found = {ref.name or "": ref for ref in iter_files(task.outputs.get(port))}
        # Where the name was taken, the platform has put `_1_` before it.
        plain = {_RENAMED.sub("", one, count=1): ref for one, ref in found.items()}
        ref = found.get(name) or plain.get(name)
        if ref is not None:
            outputs[port] = ref.to_value()
    return task.model_copy(update={"id": identifier, "parent": task.id, "outputs": outputs})
