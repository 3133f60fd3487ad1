"""`snakemake-cavatica submit`: the main process of a run becomes a task, so that nobody waits."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from ..api import Client, ConfigurationError, Project, Task
from ..api.upload import upload
from ..connections import CONNECTIONS
from ..coordinator.arguments import Arguments, Place, moved_arguments
from ..coordinator.bundle import write_bundle
from ..coordinator.earlier import release_journals
from ..coordinator.home import Home, home_of
from ..coordinator.instructions import Instructions
from ..coordinator.refusals import refuse_what_stays_here
from ..coordinator.stop import BUNDLE, TOKEN, take_away_of
from ..coordinator.task import (
    Coordinator,
    Errand,
    Machine,
    coordinator_of,
    coordinators,
    scope_of,
    start_coordinator,
)
from ..observe.submissions import SUBMITTED, SubmittedRun, note_submission
from ..project.connection import Connection, names_local
from ..project.index import ProjectIndex
from ..project.paths import ProjectPath
from ..read.defaults import passed_environment, read_defaults
from ..read.facts import MB, Defaults
from ..read.sources import Sources
from ..read.workflow import settle_options, workflow_sources
from ..run.run_id import new_run_id
from ..settings import ExecutorSettings
from .exit_status import WRONG
from .following import followed
from .platform import tell_waits
from .show import remarks, show, show_json
from .workflow_here import Looked, looked_at, profiles_of

_REPORT = ".snakemake/cavatica/report.html"


@dataclass(frozen=True)
class _Seen:
    """What the workflow tells, and the platform that it is for."""

    connection: Connection
    project: Project
    prefix: str
    folder: str
    report: str
    """Where the user wants one, or none."""
    sources: Sources
    defaults: Defaults
    start: Path

    @property
    def scope(self) -> str:
        """The files that only one run at a time may work on, as their journals have it."""
        return ProjectPath.parse(self.prefix).query

    @property
    def place(self) -> Place:
        """Where it lies here."""
        return Place(Path(os.path.commonpath([self.sources.root, self.start])), self.start)


def run(options: argparse.Namespace) -> int:
    """Submit, and say how to look at it; the exit status."""
    tell_waits()
    here = Path.cwd()
    looked = looked_at(
        options.arguments,
        partial(_seen, here),
        jobs=None,
        may_be_dry=False,
        see_options=_refuse_what_ends_here,
    )
    if looked is None:
        return WRONG
    os.chdir(here)  # Snakemake works in that of the workflow
    seen = looked.found
    client = seen.connection.client
    home = home_of(client, seen.project, options.coordinator_project)
    _refuse_if_it_goes_on(client, home, seen)
    submission = _Submission(seen, home, looked)
    task = submission.start(options)
    _note(seen, home, submission.run)
    _tell(options, submission.run, home, seen.connection.task_page(home.project, task.id), task)
    if not options.follow:
        return 0
    coordinator = coordinator_of(task)
    assert coordinator is not None
    return followed(seen.connection, home.project, coordinator)


def _refuse_what_ends_here(options: Any) -> None:
    given = options.cavatica_api_endpoint  # something of the parser's own where it is not given
    named = os.environ.get("SNAKEMAKE_CAVATICA_API_ENDPOINT", "")
    if names_local(given if isinstance(given, str) else named):
        raise ConfigurationError(
            "--cavatica-api-endpoint local is a platform that ends with the command. Let "
            "`cavatica-local serve --root FOLDER` run, and give its address as the endpoint."
        )


def _seen(start: Path, workflow: Any) -> _Seen:
    """What is needed of a workflow, or why it cannot be submitted."""
    settle_options(workflow)
    settings = workflow.executor_settings or ExecutorSettings()
    refuse_what_stays_here(workflow)
    connection = CONNECTIONS.connect(settings.api_endpoint, settings.credentials_profile)
    prefix = workflow.storage_settings.default_storage_prefix
    project = CONNECTIONS.wanted_project(connection, prefix)
    connection.check_permissions(project)
    environment = passed_environment(
        workflow, connection, secrets_allowed=settings.allow_secret_envvars
    )
    known = connection.project(project)
    sources = workflow_sources(workflow, settings.patterns)
    sources.check_size(settings.sources_max_mb * MB)
    defaults = read_defaults(
        workflow,
        settings.defaults,
        connection,
        known.settings or {},
        environment=environment,
        workdir=sources.workdir,
    )
    return _Seen(
        connection,
        known,
        prefix,
        settings.folder,
        settings.report or "",
        sources,
        defaults,
        start,
    )


def _refuse_if_it_goes_on(client: Client, home: Home, seen: _Seen) -> None:
    """Two at a time would work on the same files; what the last one has left is free to be taken.

    Raises:
        ConfigurationError: one goes on.
    """
    ended: list[Coordinator] = []
    for one in coordinators(client, home.project):
        if one.prefix != seen.scope:
            continue
        if not one.has_ended:
            raise ConfigurationError(
                f"The run {one.run} works on the same files ({seen.prefix}): its main process is "
                f"{one.task.status}. `snakemake-cavatica logs --follow {one.run}` shows what it "
                f"does, `snakemake-cavatica cancel {one.run}` ends it."
            )
        ended.append(one)
    if ended:
        take_away_of(client, home.project, ended[0].run)
    release_journals(client, seen.project.id, seen.folder, [one.run for one in ended])


class _Submission:
    """One coordinator on its way."""

    def __init__(self, seen: _Seen, home: Home, looked: Looked[_Seen]) -> None:
        self._seen = seen
        self._home = home
        self._looked = looked
        self._client = seen.connection.client
        self.run = new_run_id(submitted=True)

    def start(self, options: argparse.Namespace) -> Task:
        """Upload what it needs, and start it; the token does not stay if that fails."""
        seen, index = self._seen, ProjectIndex(self._client, self._home.project)
        folder = index.ensure_folder(f"runs/{self.run}")
        states = index.ensure_folder("states")
        assert folder is not None
        assert states is not None
        image = options.image or seen.defaults.snakemake_image
        image = image.removeprefix("docker://")
        machine = Machine(image, options.instance_type, self._home.location)
        with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
            token = self._upload_token(Path(scratch, TOKEN), folder)
            try:
                bundle = Path(scratch, BUNDLE)
                self._write(bundle, options.arguments, folder=folder, states=states)
                file = upload(self._client, bundle, parent=folder).file
                errand = Errand(self.run, seen.project.id, seen.folder, seen.scope)
                task = start_coordinator(
                    self._client, self._home, machine, errand, bundle=file.id, token=token
                )
            except BaseException:
                self._client.delete_file(token, missing_ok=True)
                raise
        return task

    def _upload_token(self, path: Path, folder: str) -> str:
        path.touch(mode=0o600)
        path.write_text(self._seen.connection.token.reveal(), encoding="utf-8")
        try:
            return upload(self._client, path, parent=folder).file.id
        finally:
            path.unlink()

    def _write(self, bundle: Path, given: list[str], *, folder: str, states: str) -> None:
        seen, sources, place = self._seen, self._seen.sources, self._seen.place

        def below(path: Path) -> str:
            return os.path.relpath(path, place.root)

        arguments = self._arguments(given)
        instructions = Instructions(
            run=self.run,
            scope=scope_of(seen.scope),
            endpoint=self._client.endpoint,
            user=self._home.user,
            home=self._home.project,
            folder=folder,
            states=states,
            given=tuple(given),
            arguments=arguments.words,
            environment=dict(seen.defaults.environment),
            root=below(sources.root),
            start=below(seen.start),
            workdir=below(sources.root / sources.workdir),
            files={below(path): str(reason) for path, reason in sources.reasons.items()},
            lasting=tuple(sorted(map(below, _lasting(sources)))),
            report=self._report,
            listings=sources.listings,
            asked=sources.asked,
        )
        secret = seen.connection.token
        write_bundle(bundle, instructions, sources, place.root, arguments.files, secret=secret)

    @property
    def _report(self) -> str:
        """One is made in any case: who looks later has no other machine that knows."""
        wanted = self._seen.report
        return wanted if wanted and not Path(wanted).is_absolute() else _REPORT

    def _arguments(self, given: list[str]) -> Arguments:
        seen = self._seen
        return moved_arguments(
            given,
            seen.place,
            profiles_of(self._looked.options),
            [
                *("--executor", "cavatica"),
                *("--cavatica-api-endpoint", self._client.endpoint),
                *("--cavatica-credentials-profile", ""),
                *("--cavatica-project", seen.project.id),
                *("--cavatica-report", self._report),
                *("--default-storage-provider", "cavatica"),
                *("--default-storage-prefix", seen.prefix),
            ],
        )


def _lasting(sources: Sources) -> Iterator[Path]:
    """Those that are shipped: others cannot be looked at there."""
    return (path for path in sources.files if path in sources.lasting)


def _note(seen: _Seen, home: Home, run: str) -> None:
    """Let commands know here which run was the last, as if its record were here."""
    directory = seen.sources.root / seen.sources.workdir
    endpoint = seen.connection.client.endpoint
    note = SubmittedRun(run, endpoint, seen.project.id, home.project, time.time())
    try:
        note_submission(directory, note)
    except OSError as error:
        remarks(
            [
                f"No note of the run {run} can be left in {directory / SUBMITTED} "
                f"({error.strerror}): commands find it only if they are told its id."
            ]
        )


def _tell(options: argparse.Namespace, run: str, home: Home, page: str, task: Task) -> None:
    if options.json:
        show_json({"run": run, "task": task.id, "project": home.project, "page": page})
        return
    show(
        Text(f"Run {run}: its main process is a task of the project {home.project},"),
        Text(f"  {page}"),
        Text("This machine is not needed any more. To look at it, from any machine:"),
        Text(f"  snakemake-cavatica status {run}"),
        Text(f"  snakemake-cavatica logs --follow {run}"),
        Text(f"  snakemake-cavatica cancel {run}"),
    )
