"""The platform that a command works on, and the project."""

from __future__ import annotations

import logging
import sys

from ..api import ConfigurationError
from ..project.connection import Connection
from ..read import values


def tell_waits() -> None:
    """The waits for the rate limit and for a platform in maintenance can be long: tell of them."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("snakemake_executor_cavatica").setLevel(logging.INFO)


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
