"""`snakemake-cavatica check`: all that can be known of a run before its first task.

Snakemake stops at the first error of a Snakefile and at the first input that nobody makes; so what
comes before the jobs are known is told one by one, and everything else together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..api import CavaticaError, ConfigurationError
from ..check.checks import Report, check_all
from ..check.finding import UNANSWERED, Finding, NotChecked, in_order, noted
from ..check.subject import Subject
from ..connections import CONNECTIONS
from ..launch.other_storages import OtherStorages
from ..project.connection import Connection
from ..project.local_record import checksum_of
from ..project.paths import ProjectPath
from ..read.defaults import passed_environment, read_defaults
from ..read.facts import MB
from ..read.job import JobReader
from ..read.sources import Sources
from ..read.workflow import settle_options, workflow_sources
from ..settings import ExecutorSettings
from .check_shown import show_check
from .exit_status import WRONG
from .platform import tell_waits
from .workflow_here import looked_at

T = TypeVar("T")
NOT_CHECKED = 2
_UNKNOWN = "owner/project"
"""Stands for a project that nobody has named, or that the platform does not show."""


@dataclass
class Checked:
    """What has been found out, as far as it went."""

    findings: list[Finding] = field(default_factory=list)
    connection: Connection | None = None
    project: str = ""
    user: str = ""
    sources: Sources | None = None
    report: Report | None = None
    """None where jobs could not be planned."""

    @property
    def problems(self) -> int:
        """How many things cannot work like this."""
        return sum(one.is_problem for one in self.findings)


def run(options: argparse.Namespace) -> int:
    """Check the run that would have these arguments; the exit status."""
    tell_waits()
    try:
        looked = looked_at(options.arguments, _check)
        checked = _of_failed_workflow() if looked is None else looked.found
    except NotChecked as error:
        sys.stderr.write(f"snakemake-cavatica: this could not be checked: {error}\n")
        return NOT_CHECKED
    checked.findings = in_order(checked.findings)
    show_check(checked, as_json=options.json)
    return WRONG if checked.problems else 0


def _of_failed_workflow() -> Checked:
    """What can be told without jobs: Snakemake has said why there are none."""
    checked = Checked()
    checked.findings.append(
        Finding("Snakemake does not get as far as jobs; what it said stands above.")
    )
    _connect(checked, is_parsed=False)
    return checked


def _check(workflow: Any) -> Checked:
    checked = Checked()
    settings = workflow.executor_settings or ExecutorSettings()
    _step(checked, lambda: settle_options(workflow))
    checked.sources = _step(checked, lambda: workflow_sources(workflow, settings.patterns))
    if checked.sources is not None:
        sources = checked.sources
        _step(checked, lambda: sources.check_size(settings.sources_max_mb * MB))
    prefix = workflow.storage_settings.default_storage_prefix
    is_known = _connect(checked, prefix, is_parsed=True)
    if checked.connection is None:
        return checked
    subject = _subject(workflow, settings, checked, checked.connection, is_known)
    checked.report = check_all(subject)
    checked.findings += checked.report.findings
    return checked


def _connect(checked: Checked, storage_prefix: str | None = None, *, is_parsed: bool) -> bool:
    """Reach the platform and the project; whether that is known then.

    Args:
        storage_prefix: of the workflow, if it could be parsed.
    """
    connection = _step(checked, CONNECTIONS.connect)
    if connection is None:
        return False
    checked.connection = connection
    checked.user = _user(connection)
    try:
        checked.project = project = CONNECTIONS.wanted_project(connection, storage_prefix)
    except ConfigurationError as error:
        if is_parsed:  # else a storage prefix may name it
            checked.findings.append(Finding(str(error)))
        return False
    if _step(checked, lambda: connection.project(project)) is None:
        return False
    _step(checked, lambda: connection.check_permissions(project))
    return True


def _user(connection: Connection) -> str:
    """Whose token it is; that it is not valid, the project tells in the words of a run."""
    try:
        return connection.watcher.user().username
    except UNANSWERED as error:
        raise NotChecked(str(error)) from error
    except CavaticaError:
        return ""


def _step(checked: Checked, step: Callable[[], T]) -> T | None:
    """What a step gives; None if a run would end there, which is noted."""
    with noted(checked.findings):
        return step()
    return None


def _subject(
    workflow: Any,
    settings: ExecutorSettings,
    checked: Checked,
    connection: Connection,
    is_known: bool,
) -> Subject:
    environment = _step(
        checked,
        lambda: passed_environment(
            workflow, connection, secrets_allowed=settings.allow_secret_envvars
        ),
    )
    project_settings = connection.project(checked.project).settings if is_known else {}
    workdir = "." if checked.sources is None else checked.sources.workdir
    defaults = read_defaults(
        workflow,
        settings.defaults,
        connection,
        project_settings or {},
        environment=environment or {},
        workdir=workdir,
    )
    reader = JobReader(
        workflow,
        connection,
        workdir=workdir,
        known_folder=lambda _: False,
        place_in_other_storage=OtherStorages(workflow).place_of,
        checksum=lambda path: checksum_of(str(path)),
    )
    home = ProjectPath(checked.project or _UNKNOWN, settings.folder)
    connection.aliases.home = home
    return Subject(workflow, connection, home, is_known, defaults, reader, checked.sources)
