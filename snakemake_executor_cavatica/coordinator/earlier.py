"""What an earlier coordinator on the same files has left, once its task has ended."""

from __future__ import annotations

from collections.abc import Collection

from ..api import Client
from ..project.find_folder import find_folder
from ..run.journal import Record, declare_over
from .task import Coordinator


def left_by(client: Client, ended: Coordinator) -> list[str]:
    """The runs whose tasks a coordinator that has ended had in hand: its own, and those that it
    went on with. They are released.

    Raises:
        CavaticaError: it cannot be found out.
    """
    release_journals(client, ended.project, ended.folder, [ended.run])
    journals = _journals(client, ended.project, ended.folder)
    return [one.run for one in journals if one.is_about(ended.prefix) and one.is_over]


def _journals(client: Client, project: str, folder: str) -> list[Record]:
    home = find_folder(client, project, folder)
    return [] if home is None else Record.read(client.list_files(parent=home.id))


def release_journals(client: Client, project: str, folder: str, runs: Collection[str]) -> None:
    """Say in their journals that these runs are over, so that the next one need not wait for it.

    They could not say so themselves. That their tasks have ended is known for sure.

    Args:
        folder: the plugin's, in the project of the jobs.

    Raises:
        CavaticaError: it cannot be found out, or written.
    """
    for record in _journals(client, project, folder) if runs else ():
        if record.run in runs and not record.is_over:
            declare_over(client, record)
