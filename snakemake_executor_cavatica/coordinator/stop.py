"""How a coordinator is ended from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..api import Client, File
from ..project.connection import Connection
from ..project.find_folder import find_folder
from ..run.stopping import abort_patience, has_ended, stop_all
from .task import Coordinator

TOKEN = re.compile(r"token(-.*)?")
"""Names of files that hold a token."""


def stopped(connection: Connection, project: str, coordinator: Coordinator) -> bool:
    """Abort a coordinator and wait until it has ended; whether it has. Its token goes.

    Raises:
        CavaticaError: the token cannot be deleted.
    """
    client, task = connection.watcher, coordinator.task.id
    answers = stop_all(client, [task], timeout=abort_patience(local=connection.is_local))
    folder = find_folder(client, project, f"runs/{coordinator.run}")
    for file in [] if folder is None else list(tokens_in(client, folder.id)):
        client.delete_file(file.id, missing_ok=True)
    return has_ended(answers[task])


def tokens_in(client: Client, folder: str) -> Iterator[File]:
    """The files of a run's folder that hold a token."""
    return (file for file in client.list_files(parent=folder) if TOKEN.fullmatch(file.name))
