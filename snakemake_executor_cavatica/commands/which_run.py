"""Which run a command is about, and who tells of it: a record on this machine, or the platform."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ..api import (
    CavaticaError,
    ConfigurationError,
    NoAnswer,
    ServerError,
    TaskStatus,
    is_on_loopback,
    resolve_credentials,
)
from ..api.credentials import SB_ENDPOINT_VARIABLE, NoToken
from ..connections import CONNECTIONS
from ..observe.entries import Run, Status
from ..observe.platform_view import PlatformView
from ..observe.record import (
    RECORD,
    RUNS,
    UnreadableRecord,
    read_record,
    records_here,
    runs_in,
    written_at,
)
from ..observe.refresh import refreshed
from ..observe.standing import Standing, is_open, may_go_on, may_have_changed
from ..observe.submissions import SubmittedRun, newest_submission, submissions_here
from ..observe.told import Told, told_by
from ..project.connection import LOCAL_ENDPOINT, LOCAL_ROOT, Connection, names_local
from ..project.environment import home_folder
from ..project.local_platform import served
from ..run.run_id import is_called, is_submitted
from ..translate.shared_task import task_id_of
from .platform import checked_folder, checked_project, tell_waits
from .submitted import find_submitted, told_submitted

_HERE = Path()
_A_FEW = 5
_TASK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(#.+)?")
_Seen = TypeVar("_Seen")


class NoRun(CavaticaError):
    """There is no such run, as far as can be told."""


class NotServed(CavaticaError):
    """The embedded platform of a directory does not run."""


def enter(directory: str) -> None:
    """Work in this directory from now on, as Snakemake does.

    Raises:
        ConfigurationError: it cannot be entered.
    """
    try:
        os.chdir(directory)
    except OSError as error:
        raise ConfigurationError(f"--directory {directory}: {error.strerror}.") from error


def told_run(options: argparse.Namespace, run: str | None) -> Told:
    """What is known of a run, or of the newest: by its record here, or else by the platform alone.

    Args:
        run: its id, or the end of it.

    Raises:
        CavaticaError: nobody knows of it, or its record cannot be read.
    """
    if run is None and not options.without_record:
        submission = newest_submission(_HERE)
        if submission is not None:
            return _submitted_here(options, submission)
    folder = None if options.without_record else record_of(run)
    if folder is not None:
        return up_to_date(options, _read(folder))
    if run is not None and is_submitted(run):
        return _submitted(options, run)
    told = _by_platform(options, run, lambda view: view.one(run))
    return _submitted(options, told.run.id) if is_submitted(told.run.id) else told


def _submitted_here(options: argparse.Namespace, submission: SubmittedRun) -> Told:
    try:
        return _submitted(options, submission.run)
    except (NoAnswer, ServerError):
        raise  # it passes, and who watches a run waits for that
    except CavaticaError as error:
        raise NoRun(
            f"The newest run here is {submission.run}, which was submitted to "
            f"{submission.endpoint}, so that the platform tells of it: {error} Name another run to "
            "be told of that; `snakemake-cavatica runs` lists them."
        ) from error


def _submitted(options: argparse.Namespace, run: str) -> Told:
    found = find_submitted(options, run)
    told = told_submitted(found)
    if told.folder is not None:
        told = up_to_date(options, told)
    was_aborted = found.coordinator.task.status == TaskStatus.ABORTED
    goes_on = any(map(may_go_on, told.attempts))
    if told.standing is Standing.KILLED and was_aborted and not goes_on:
        return replace(told, standing=Standing.CANCELLED)
    return told


def told_runs(options: argparse.Namespace, most: int) -> list[Told]:
    """The newest runs, each with all that it went on with; the newest first.

    Raises:
        CavaticaError: no record or note is here, and the platform does not tell.
    """
    if not options.without_record:
        records = [(written_at(folder), _readable(folder)) for folder in records_here(_HERE)[:most]]
        notes = [(one.submitted, one.told) for one in submissions_here(_HERE)[:most]]
        here = sorted([*records, *notes], key=lambda one: one[0], reverse=True)
        if here:
            return [told for _, told in here[:most]]
    return _by_platform(options, None, lambda view: view.all()[:most])


def is_task(text: str) -> bool:
    """Whether this can only be the id of a task, or of a packed job of one."""
    return _TASK.fullmatch(text) is not None


def told_task(options: argparse.Namespace, task: str) -> Told:
    """The run of a task: by the record that names it, or else by the platform.

    Raises:
        CavaticaError: nobody knows of it.
    """
    wanted = task_id_of(task).encode()
    for folder in [] if options.without_record else records_here(_HERE):
        if wanted in (folder / RECORD).read_bytes():
            told = _readable(folder)
            if told.of_task(task):
                return told
    return view_of(options).task(task)


def record_of(run: str | None) -> Path | None:
    """The folder of the record in which a run is, or of the newest; None if there is none here."""
    for folder in records_here(_HERE):
        if run is None or any(is_called(one, run) for one in _ids(folder)):
            return folder
    return None


def _ids(folder: Path) -> list[str]:
    """Of a record that cannot be read, the one by which its folder is named."""
    return [one.id for one in runs_in(folder)] or [folder.name]


def _read(folder: Path) -> Told:
    record = read_record(folder)
    if not record.runs:
        why = next(iter(record.remarks), "It is cut short.")
        raise UnreadableRecord(
            f"The record {folder} does not tell which run it is of. {why} --without-record asks "
            "the platform instead."
        )
    return told_by(record)


def _readable(folder: Path) -> Told:
    """What a record tells; that it cannot be read is a remark, since others can."""
    try:
        return _read(folder)
    except UnreadableRecord as error:
        written = folder.stat().st_mtime
        unknown = Run.by_name(folder.name, started=written)
        return Told((unknown,), (), Standing.UNKNOWN, (str(error),), folder)


def up_to_date(options: argparse.Namespace, told: Told) -> Told:
    """With what the platform now says of tasks that nobody keeps on record any more.

    If it cannot be asked, that becomes a remark.
    """
    if not may_have_changed(told.standing, told.attempts):
        return told
    try:
        connection = connected(options, told.run)
        current = refreshed(told, connection.watcher)
        if told.standing is Standing.KILLED and told.folder is not None:
            written = written_at(told.folder)
            view = PlatformView(connection, told.run.project, checked_folder(options.folder))
            current = view.completed(current, written)
        return current
    except NotServed as error:
        attempts = (
            replace(one, status=Status.LEFT) if is_open(one) else one for one in told.attempts
        )
        return replace(told.with_remarks(str(error)), attempts=tuple(attempts))
    except CavaticaError as error:
        remark = f"What has become of the tasks that were left is not known: {error}"
        return replace(told.with_remarks(remark), is_current=False)


# ------------------------------------------------------------------------------- the platform


def _by_platform(
    options: argparse.Namespace, run: str | None, look: Callable[[PlatformView], _Seen]
) -> _Seen:
    try:
        return look(view_of(options))
    except CavaticaError as error:
        if options.without_record:
            raise
        raise NoRun(
            f"{_no_record(run)} The platform does not tell of it either: {error}"
        ) from error


def _no_record(run: str | None) -> str:
    if run is None:
        return f"No run has left a record here ({Path.cwd() / RUNS})."
    known = [one for folder in records_here(_HERE) for one in _ids(folder)]
    newest = f"; the newest are about {', '.join(known[:_A_FEW])}" if known else ""
    return f"No record here ({Path.cwd() / RUNS}) is about the run {run}{newest}."


def view_of(options: argparse.Namespace) -> PlatformView:
    """The runs of the project that the options name.

    Raises:
        CavaticaError: they name none, or it cannot be reached.
    """
    tell_waits()
    connection = CONNECTIONS.connect(options.api_endpoint, options.credentials_profile, joins=True)
    project = checked_project(connection, options.project)
    return PlatformView(connection, project, checked_folder(options.folder))


def connected(options: argparse.Namespace, run: Run, *, starts: bool = False) -> Connection:
    """The platform that a run is on.

    The token goes only where options and credentials send it, not where a record says: anybody may
    have written that.

    Args:
        starts: whether to start the embedded platform of this directory if the run was there.

    Raises:
        NotServed: it was there, and the platform does not run.
        ConfigurationError: options and credentials lead to another platform, or to none.
    """
    tell_waits()
    if _was_local(options, run):
        if not starts and served(Path(LOCAL_ROOT)) is None:
            raise NotServed(
                "The run was on the embedded platform of this directory, which does not run at "
                "this moment: nothing goes on there."
            )
        return CONNECTIONS.connect(LOCAL_ENDPOINT, joins=True)
    if run.embedded is False and _names_local(options):
        raise _on_another_platform(run, "the embedded platform of this directory is named")
    connection = CONNECTIONS.connect(options.api_endpoint, options.credentials_profile, joins=True)
    both_here = connection.is_local and is_on_loopback(run.endpoint)
    if connection.client.endpoint != run.endpoint and not both_here:
        raise _on_another_platform(run, f"your token is for {connection.client.endpoint}")
    return connection


def _on_another_platform(run: Run, instead: str) -> ConfigurationError:
    return ConfigurationError(
        f"The run {run.id} is on {run.endpoint}, and {instead}. If you have a token for the "
        f"former, name it by --credentials-profile, or by SNAKEMAKE_CAVATICA_TOKEN with "
        f"--api-endpoint {run.endpoint}."
    )


def _was_local(options: argparse.Namespace, run: Run) -> bool:
    """Whether a run was on the embedded platform of this directory, which it may have started for
    its own time.

    Raises:
        ConfigurationError: its record does not say so, and credentials are not what they should be.
    """
    if not (is_on_loopback(run.endpoint) and Path(LOCAL_ROOT).is_dir()):
        return False
    there = served(Path(LOCAL_ROOT))
    if there is not None and there.endpoint == run.endpoint:
        return True
    return not _names_another_here(options) if run.embedded is None else run.embedded


def _names_local(options: argparse.Namespace) -> bool:
    return names_local(options.api_endpoint)


def _names_another_here(options: argparse.Namespace) -> bool:
    """Whether options and credentials lead to another platform of this machine."""
    if _names_local(options):
        return False
    named = options.api_endpoint or os.environ.get(SB_ENDPOINT_VARIABLE)
    try:
        found = resolve_credentials(
            endpoint=options.api_endpoint,
            profile=options.credentials_profile,
            environ=os.environ,
            home=home_folder(),
        )
    except NoToken:
        return bool(named or options.credentials_profile)
    return is_on_loopback(found.endpoint)
