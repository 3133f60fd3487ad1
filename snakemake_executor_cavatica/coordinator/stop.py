"""How a coordinator is ended from outside."""

from __future__ import annotations

from ..api import Client
from ..project.connection import Connection
from ..project.find_folder import find_folder
from ..run.stopping import abort_patience, has_ended, stop_all
from .task import Coordinator

TOKEN = "token"  # noqa: S105 - the name of a file
BUNDLE = "bundle.tar.gz"
"""Names of files in a run's folder that only a coordinator needs, at its start."""


def stopped(connection: Connection, project: str, coordinator: Coordinator) -> bool:
    """Abort a coordinator and wait until it has ended; whether it has. Its token goes.

    Raises:
        CavaticaError: the token cannot be deleted.
    """
    client, task = connection.watcher, coordinator.task.id
    patience = abort_patience(local=connection.is_local)
    answers = stop_all(client, project, [task], timeout=patience)
    take_away_of(client, project, coordinator.run)
    return has_ended(answers[task])


def take_away_of(client: Client, project: str, run: str) -> None:
    """See that the token of a run that has ended does not stay.

    Raises:
        CavaticaError: it cannot be deleted.
    """
    folder = find_folder(client, project, f"runs/{run}")
    if folder is not None:
        take_away(client, folder.id)


def take_away(client: Client, folder: str) -> None:
    """Delete the token, and what else was for the start, if it is there.

    Raises:
        CavaticaError: it cannot be deleted.
    """
    for file in list(client.list_files(parent=folder, names=[TOKEN, BUNDLE])):
        client.delete_file(file.id, missing_ok=True)
