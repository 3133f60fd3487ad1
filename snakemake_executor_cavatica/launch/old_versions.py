"""Keeps the old version of update() outputs until it is known that there is a new one.

Snakemake deletes the outputs of a failed job. It saves the old version of an update() output first,
but only where it shares a file system with the jobs; elsewhere a failure would lose the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..project.connection import Connection
from ..project.paths import LocalPath, Place, ProjectPath
from ..read.snakemake_jobs import updated_outputs


class OldVersions:
    """The old versions of files that jobs under way are going to update."""

    def __init__(
        self, persistence: Any, connection: Connection, place_of: Callable[[Any], Place]
    ) -> None:
        """`persistence` is Snakemake's; `place_of` tells where one of its files lives."""
        self._persistence = persistence
        self._connection = connection
        self._place_of = place_of
        self._saved: set[Place] = set()

    def save(self, job: Any) -> None:
        """A job is about to start."""
        for place in self._updated(job):
            self._save(place)

    def release(self, job: Any) -> None:
        """There are new versions: what is at their places may be deleted again."""
        for place in self._updated(job):
            self._release(place)

    def restore(self, job: Any) -> None:
        """The job failed, and Snakemake has deleted its outputs."""
        for place in self._updated(job):
            self._restore(place)

    def discard(self, job: Any) -> None:
        """The job has succeeded."""
        for place in self._updated(job):
            self._discard(place)

    def _updated(self, job: Any) -> list[Place]:
        return [self._place_of(file) for file in updated_outputs(job)]

    def _save(self, place: Place) -> None:
        if isinstance(place, ProjectPath):
            self._connection.index(place.project).deletions.pinned.add(place.path)
        elif Path(place.path).exists():
            self._persistence.backup_output(Path(place.path))
            self._saved.add(place)

    def _release(self, place: Place) -> None:
        if isinstance(place, ProjectPath):
            self._connection.index(place.project).deletions.pinned.discard(place.path)

    def _restore(self, place: Place) -> None:
        self._release(place)
        if isinstance(place, LocalPath) and place in self._saved:
            self._persistence.restore_output(Path(place.path))
            self._saved.remove(place)

    def _discard(self, place: Place) -> None:
        if isinstance(place, LocalPath) and place in self._saved:
            self._persistence.cleanup_backup(Path(place.path))
            self._saved.remove(place)
