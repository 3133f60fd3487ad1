"""What the main process of a submitted run says, as it comes."""

from __future__ import annotations

import sys
import time

from ..api import CavaticaError, Task, TaskStatus
from ..coordinator.pieces import Reader
from ..coordinator.task import Coordinator
from ..finish.foreign_text import shown
from ..project.connection import Connection
from ..project.find_folder import find_folder
from .exit_status import UNFINISHED

_SHORTEST, _LONGEST, _SHARE = 5.0, 60.0, 0.02
_LOCAL = 1.0
"""Seconds between two looks, which take two or three requests each."""
_LONGEST_LINE = 4000


def followed(connection: Connection, project: str, coordinator: Coordinator) -> int:
    """Show the log of a run until its main process ends; 0 if it has ended well.

    Args:
        project: the coordinator's.

    Raises:
        CavaticaError: the platform does not tell.
    """
    client = connection.watcher
    folder = find_folder(client, project, f"runs/{coordinator.run}")
    if folder is None:
        raise CavaticaError(f"The log of the run {coordinator.run} is gone; was it cleaned away?")
    reader = Reader(client, folder.id)
    written, began = 0, time.monotonic()
    while True:
        # Asked first: what it said last is there before it ends.
        task = client.get_task(coordinator.task.id)
        log = reader.look().log
        written += _write(log[written:], whole=task.is_terminal)
        if task.is_terminal:
            return _ended(coordinator.run, task)
        share = min(max(_SHORTEST, _SHARE * (time.monotonic() - began)), _LONGEST)
        time.sleep(_LOCAL if connection.has_no_rate_limit else share)


def _write(news: bytes, *, whole: bool) -> int:
    """Print the lines that are complete; how many bytes that were."""
    end = len(news) if whole else news.rfind(b"\n") + 1
    for line in news[:end].decode(errors="replace").splitlines():
        sys.stdout.write(f"{shown(line, _LONGEST_LINE)}\n")
    sys.stdout.flush()
    return end


def _ended(run: str, task: Task) -> int:
    if task.status == TaskStatus.COMPLETED:
        return 0
    said = task.execution_status.message if task.execution_status else ""
    sys.stderr.write(f"The main process of the run {run} is {task.status}. {said}\n")
    return UNFINISHED
