"""What the main process of a submitted run says, as it comes."""

from __future__ import annotations

import sys
import time

from ..api import ConfigurationError
from ..coordinator.pieces import Reader
from ..coordinator.task import Coordinator, find_coordinator
from ..finish.foreign_text import shown
from ..project.connection import Connection
from ..project.find_folder import find_folder
from .exit_status import UNFINISHED

_SHORTEST, _LONGEST, _SHARE = 5.0, 60.0, 0.02
_LOCAL = 1.0
"""Seconds between two looks, which take two or three requests each."""
_LONGEST_LINE = 4000


def followed(connection: Connection, project: str, run: str) -> int:
    """Show the log of a run until its main process ends; 0 if it has ended well.

    Raises:
        CavaticaError: there is no such run, or the platform does not tell.
    """
    client = connection.watcher
    coordinator = find_coordinator(client, project, run)
    folder = (
        None if coordinator is None else find_folder(client, project, f"runs/{coordinator.run}")
    )
    if coordinator is None or folder is None:
        raise ConfigurationError(f"The project {project} holds no main process of a run {run}.")
    reader = Reader(client, folder.id)
    written, began = 0, time.monotonic()
    while True:
        # Asked first: what it said last is there before it ends.
        task = client.get_task(coordinator.task.id)
        log = reader.look().log
        written += _write(log[written:], whole=task.is_terminal)
        if task.is_terminal:
            return _ended(Coordinator(coordinator.run, coordinator.scope, task))
        share = min(max(_SHORTEST, _SHARE * (time.monotonic() - began)), _LONGEST)
        time.sleep(_LOCAL if connection.has_no_rate_limit else share)


def _write(news: bytes, *, whole: bool) -> int:
    """Print the lines that are complete; how many bytes that were."""
    end = len(news) if whole else news.rfind(b"\n") + 1
    for line in news[:end].decode(errors="replace").splitlines():
        sys.stdout.write(f"{shown(line, _LONGEST_LINE)}\n")
    sys.stdout.flush()
    return end


def _ended(coordinator: Coordinator) -> int:
    task = coordinator.task
    if task.status == "COMPLETED":
        return 0
    said = task.execution_status.message if task.execution_status else ""
    sys.stderr.write(f"The main process of the run {coordinator.run} is {task.status}. {said}\n")
    return UNFINISHED
