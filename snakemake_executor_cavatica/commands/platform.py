"""The platform that a command works on, and the project."""

from __future__ import annotations

import logging
import sys

from ..api import ConfigurationError
from ..project.connection import Connection
from ..read import values


class _ToStderr(logging.Handler):
    """To what is the standard error at that moment: commands may put another one in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")


def tell_waits() -> None:
    """The waits for the rate limit and for a platform in maintenance can be long: tell of them."""
    logger = logging.getLogger("snakemake_executor_cavatica")
    # Not a handler of the root: that would say once more what Snakemake says itself.
    logger.handlers = [_ToStderr()]
    logger.setLevel(logging.INFO)


def checked_project(connected: Connection, wanted: str | None) -> str:
    """The project to work on, which exists.

    Raises:
        ConfigurationError: none is named, or there is no such project for this token.
    """
    project = wanted or connected.default_project
    if project is None:
        raise ConfigurationError("No project is named; add --project owner/project.")
    try:
        project = values.project(project)
    except ValueError as error:
        raise ConfigurationError(f"--project {project!r} {error}.") from None
    connected.project(project)
    return project


def checked_folder(folder: str) -> str:
    """The plugin's folder in a project.

    Raises:
        ConfigurationError: that can be none.
    """
    try:
        return values.folder(folder)
    except ValueError as error:
        raise ConfigurationError(f"--folder {folder!r} {error}.") from None
