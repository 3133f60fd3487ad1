"""What is checked: a run that has not begun, as far as it is known how it would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..project.connection import Connection
from ..project.paths import ProjectPath
from ..read.facts import Defaults
from ..read.job import JobReader
from ..read.sources import Sources


@dataclass(frozen=True)
class Subject:
    """What the steps of a check share."""

    workflow: Any
    """Snakemake's."""
    connection: Connection
    home: ProjectPath
    """The plugin's own folder, in the project of the tasks."""
    is_project_known: bool
    """Whether the platform has told of it."""
    defaults: Defaults
    reader: JobReader
    sources: Sources | None
    """None where they cannot be collected."""

    @property
    def project(self) -> str:
        """The project of the tasks, as owner/project."""
        return self.home.project

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the project; nothing where they are not known."""
        if not self.is_project_known:
            return {}
        return self.connection.project(self.project).settings or {}
