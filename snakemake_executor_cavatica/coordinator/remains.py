"""What coordinators leave in their project: tokens that nobody took, and folders of runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..api import Client, File
from ..project.find_folder import find_folder
from .stop import TOKEN
from .task import MOST, coordinators


@dataclass(frozen=True)
class Remains:
    """What one run has left."""

    run: str
    folder: File
    files: tuple[File, ...]

    @property
    def tokens(self) -> list[File]:
        """Those that hold a token."""
        return [file for file in self.files if file.name == TOKEN]


def remains(client: Client, project: str, runs: Collection[str] = ()) -> list[Remains]:
    """Of all runs whose coordinators have ended, or of those that are named.

    Raises:
        CavaticaError: it cannot be found out.
    """
    top = find_folder(client, project, "runs")
    if top is None:
        return []
    known = list(coordinators(client, project))
    live = {one.run for one in known if not one.has_ended}
    # Of what is older than all that were looked at, nobody knows whether it has ended.
    oldest = known[-1].run if len(known) >= MOST else ""
    wanted = [
        folder
        for folder in client.list_files(parent=top.id)
        if folder.is_folder
        and folder.name not in live
        and folder.name >= oldest
        and (not runs or folder.name in runs)
    ]
    return [
        Remains(folder.name, folder, tuple(client.list_files(parent=folder.id)))
        for folder in wanted
    ]
