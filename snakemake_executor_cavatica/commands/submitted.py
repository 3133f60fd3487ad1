"""Runs whose main process is a task: what it has left for others tells of them, on any machine."""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ..api import ConfigurationError, TaskStatus
from ..connections import CONNECTIONS
from ..coordinator.home import OPTION, existing_home, named_home
from ..coordinator.pieces import Reader, Said
from ..coordinator.task import Coordinator, find_coordinator
from ..observe import task_news
from ..observe.entries import Attempt, Run
from ..observe.platform_view import PlatformView, UnknownRun
from ..observe.record import RECORD, read_record
from ..observe.standing import Standing
from ..observe.submissions import submissions_here
from ..observe.told import Told
from ..project.connection import Connection
from ..project.find_folder import find_folder
from ..run.run_id import began_at, is_called
from .following import last_words
from .platform import tell_waits


@dataclass(frozen=True)
class Submitted:
    """A run that was submitted, and where its main process is a task."""

    connection: Connection
    home: str
    """The project of that task."""
    coordinator: Coordinator

    @property
    def attempt(self) -> Attempt:
        """The coordinator's task, which costs as well."""
        task = self.coordinator.task
        return Attempt(
            id=task.id,
            run=self.coordinator.run,
            jobid="",
            rule="(coordinator)",
            kind="coordinator",
            task=task.id,
            page=self.connection.task_page(self.home, task.id),
            status=task_news.status_by_task(task),
            **task_news.news_of(task, time.time()),
        )


def find_submitted(options: argparse.Namespace, run: str) -> Submitted:
    """A run, by its id or the end of it.

    Raises:
        CavaticaError: nobody knows of it.
    """
    tell_waits()
    connection = CONNECTIONS.connect(options.api_endpoint, options.credentials_profile, joins=True)
    client = connection.watcher
    wanted = options.coordinator_project or _noted_home(run)
    if wanted:
        home = named_home(client, wanted).id
    else:
        project = existing_home(client, client.user().username)
        if project is None:
            raise ConfigurationError(
                f"The main process of the run {run} was submitted, but not by you, as far as "
                f"{client.endpoint} tells: you have no project for it. {OPTION} names one."
            )
        home = project.id
    coordinator = find_coordinator(client, home, run)
    if coordinator is None:
        raise ConfigurationError(f"The project {home} holds no main process of a run {run}.")
    return Submitted(connection, home, coordinator)


def _noted_home(run: str) -> str | None:
    """The project of a main process, if it was submitted from this directory."""
    notes = submissions_here(Path())
    return next((one.home for one in notes if is_called(one.run, run)), None)


def told_submitted(found: Submitted) -> Told:
    """What its main process has written down, or else what its tasks tell.

    Raises:
        CavaticaError: the platform does not tell.
    """
    client, coordinator = found.connection.watcher, found.coordinator
    folder = find_folder(client, found.home, f"runs/{coordinator.run}")
    said = Said() if folder is None else Reader(client, folder.id).look()
    told = _by_record(said) or _by_tasks(found)
    task = coordinator.task
    status = task.status
    remark = [] if coordinator.has_ended else [f"Its main process is {status}."]
    if status == TaskStatus.FAILED and not told.attempts and not said.log:
        remark = [f"Its main process did not begin: {line}" for line in last_words(client, task)]
    return replace(
        told.with_remarks(*remark),
        standing=_standing(
            coordinator, told.run.outcome, has_closed=said.is_final or folder is None
        ),
        overhead=(found.attempt,),
        host="the platform",
        requests=sum(one.transport.requests_sent for one in (client, found.connection.client)),
    )


def _standing(coordinator: Coordinator, outcome: str, *, has_closed: bool) -> Standing:
    """Without an outcome on record, there was nothing to do, or no run could begin.

    Args:
        has_closed: whether the coordinator has seen the end of Snakemake, or may have.
    """
    if not coordinator.has_ended:
        return Standing.RUNNING
    if outcome in set(Standing):
        return Standing(outcome)
    if coordinator.task.status == TaskStatus.COMPLETED:
        return Standing.DONE
    return Standing.FAILED if has_closed else Standing.KILLED


def _by_record(said: Said) -> Told | None:
    if not said.record:
        return None
    folder = Path(tempfile.mkdtemp(prefix="cavatica-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / RECORD
    path.write_bytes(said.record)
    os.utime(path, (said.written, said.written))
    record = read_record(folder)
    if not record.runs:
        return None
    return Told(record.runs, record.attempts, Standing.UNKNOWN, record.remarks, folder)


def _by_tasks(found: Submitted) -> Told:
    coordinator = found.coordinator
    view = PlatformView(found.connection, coordinator.project, coordinator.folder)
    try:
        return view.one(coordinator.run)
    except UnknownRun:
        return Told((_unknown_run(found),), (), Standing.UNKNOWN)


def _unknown_run(found: Submitted) -> Run:
    """One that has started no task yet."""
    coordinator = found.coordinator
    began = began_at(coordinator.run)
    return Run.by_name(
        coordinator.run,
        endpoint=found.connection.client.endpoint,
        project=coordinator.project,
        place="storage",
        started=began.timestamp() if began is not None else 0.0,
    )
