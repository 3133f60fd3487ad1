"""What the main process of a submitted run says, as it comes."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from ..api import ApiError, CavaticaError, Client, Task, TaskStatus
from ..coordinator.pieces import Reader
from ..coordinator.task import Coordinator
from ..finish.failure import gather
from ..finish.foreign_text import shown
from ..project.connection import Connection
from ..project.find_folder import find_folder
from .exit_status import UNFINISHED

_SHORTEST, _LONGEST, _SHARE = 5.0, 60.0, 0.02
_LOCAL = 1.0
"""Seconds between two looks, which take two or three requests each."""
_LONGEST_LINE = 4000
_LAST_LINES = 10


def followed(connection: Connection, project: str, coordinator: Coordinator) -> int:
    """Show the log of a run until its main process ends; 0 if it has ended well.

    An outage of some minutes is waited out: it is nothing to a run that needs nobody here.

    Args:
        project: the coordinator's.

    Raises:
        CavaticaError: the platform does not tell.
    """
    run = coordinator.run
    try:
        return _followed(connection, project, coordinator)
    except ApiError as error:
        raise CavaticaError(
            f"{error} The run goes on without this command; `snakemake-cavatica logs --follow "
            f"{run}` shows what it says."
        ) from error


def _followed(connection: Connection, project: str, coordinator: Coordinator) -> int:
    client = connection.client
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
            status = _ended(client, coordinator.run, task, has_spoken=written > 0)
            if written:
                sys.stderr.write(_places(coordinator.run, f"{project}/runs/{coordinator.run}"))
            return status
        share = min(max(_SHORTEST, _SHARE * (time.monotonic() - began)), _LONGEST)
        time.sleep(_LOCAL if connection.has_no_rate_limit else share)


def _write(news: bytes, *, whole: bool) -> int:
    """Print the lines that are complete; how many bytes that were."""
    end = len(news) if whole else news.rfind(b"\n") + 1
    for line in news[:end].decode(errors="replace").splitlines():
        sys.stdout.write(f"{shown(line, _LONGEST_LINE)}\n")
    sys.stdout.flush()
    return end


def _ended(client: Client, run: str, task: Task, *, has_spoken: bool) -> int:
    if task.status == TaskStatus.COMPLETED:
        return 0
    said = task.execution_status.message if task.execution_status else ""
    sys.stderr.write(f"The main process of the run {run} is {task.status}. {said}\n")
    if not has_spoken:
        sys.stderr.writelines(f"  {line}\n" for line in last_words(client, task))
    return UNFINISHED


def _places(run: str, folder: str) -> str:
    """Its last lines name files where nobody can look any more."""
    return (
        "Files that are named above were on the machine of the main process. What there is of its "
        f"log, record and report is in the folder {folder} of the platform; `snakemake-cavatica "
        f"report {run}` makes the report here, and `snakemake-cavatica status {run}` tells how the "
        "run stands.\n"
    )


def last_words(client: Client, task: Task) -> list[str]:
    """The end of what a main process wrote to stderr, where it came to no log of its own."""
    with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
        evidence = gather(client, task.id, Path(scratch, "stderr"))
    lines = (evidence.report.stderr or evidence.trouble).splitlines()
    return [shown(line, _LONGEST_LINE) for line in lines[-_LAST_LINES:]]
