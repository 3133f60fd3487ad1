"""Keeps the old version of update() outputs until it is known that there is a new one.

Snakemake deletes the outputs of a failed job. It saves the old version of an update() output first,
but only where it shares a file system with the jobs; elsewhere a failure would lose the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..project.connection import Connection
from ..project.paths import LocalPath, Place, ProjectPath


class OldVersions:
    """The old versions of files that jobs under way are going to update."""

    def __init__(self, persistence: Any, connection: Connection) -> None:
        """`persistence` is Snakemake's."""
        self._persistence = persistence
        self._connection = connection
        self._saved: set[Place] = set()

    def save(self, place: Place) -> None:
        """A job that updates `place` is about to start."""
        if isinstance(place, ProjectPath):
            self._connection.index(place.project).deletions.pinned.add(place.path)
        elif Path(place.path).exists():
            self._persistence.backup_output(Path(place.path))
            self._saved.add(place)

    def release(self, place: Place) -> None:
        """There is a new version, or none will come: what is at `place` may be deleted again."""
        if isinstance(place, ProjectPath):
            self._connection.index(place.project).deletions.pinned.discard(place.path)

    def restore(self, place: Place) -> None:
        """The job failed, and Snakemake has deleted its outputs."""
        self.release(place)
        if isinstance(place, LocalPath) and place in self._saved:
            self._persistence.restore_output(Path(place.path))
            self._saved.remove(place)

    def discard(self, place: Place) -> None:
        """The job has succeeded."""
        if isinstance(place, LocalPath) and place in self._saved:
            self._persistence.cleanup_backup(Path(place.path))
            self._saved.remove(place)
