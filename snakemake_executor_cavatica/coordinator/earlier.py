"""What an earlier coordinator on the same files has left, once its task has ended."""

from __future__ import annotations

from collections.abc import Collection

from ..api import Client
from ..project.find_folder import find_folder
from ..run.journal import Record, declare_over


def release_journals(client: Client, project: str, folder: str, runs: Collection[str]) -> None:
    """Say in their journals that these runs are over, so that the next one need not wait for it.

    They could not say so themselves. That their tasks have ended is known for sure.

    Args:
        folder: the plugin's, in the project of the jobs.

    Raises:
        CavaticaError: it cannot be found out, or written.
    """
    home = find_folder(client, project, folder) if runs else None
    if home is None:
        return
    for record in Record.read(client.list_files(parent=home.id)):
        if record.run in runs and not record.is_over:
            declare_over(client, record)
