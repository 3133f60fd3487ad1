"""`snakemake-cavatica rm`: deletes files of projects, after it has asked."""

from __future__ import annotations

import argparse
import sys

from ..api import CavaticaError
from ..project.found import Found, below
from .asking import agreed
from .data_places import amount, connect, found_at, harmless, say
from .deletion import delete_files, delete_folders
from .exit_status import WRONG
from .platform import tell_waits

_NOBODY = (
    "There is no terminal to ask on whether to delete this. Nothing was deleted; say --yes if you "
    "mean it."
)
_MOST_LINES = 20


def run(options: argparse.Namespace) -> int:
    """Say what would go, ask, and delete it; the exit status."""
    tell_waits()
    connection = connect(options)
    client = connection.client
    found = found_at(connection, options.places, "write")
    folders = [one for one in found if one.is_folder]
    _check(folders, recursive=options.recursive)
    files = [one for one in found if not one.is_folder]
    inside = [one for one in below(client, folders) if not one.is_folder]
    counted = {one.id: one for one in (*files, *inside)}
    total = amount(len(counted), sum(one.file.size or 0 for one in counted.values() if one.file))
    for one in found[:_MOST_LINES]:
        say(f"{one.place}{'/' if one.is_folder else ''}")
    if len(found) > _MOST_LINES:
        say(f"and {len(found) - _MOST_LINES} more")
    if options.dry_run:
        say(f"To delete: {total}. Nothing was deleted (--dry-run).")
        return 0
    if not options.yes and not agreed(f"Delete {total}? It cannot be undone.", _NOBODY):
        say("Nothing was deleted.")
        return WRONG
    failed = delete_files(client, [one.file.id for one in files if one.file])
    failed |= delete_folders(client, [one.file.id for one in folders if one.file])
    return _told(found, failed, total)


def _check(folders: list[Found], *, recursive: bool) -> None:
    """Refuse what is probably a mistake."""
    for one in folders:
        if one.file is None:
            raise CavaticaError(
                f"{one.place} is a whole project; name what is to be deleted in it, or delete the "
                "project on the platform."
            )
        if not recursive:
            raise CavaticaError(
                f"{one.place} is a folder. Nothing was deleted; -r deletes it with all that is in "
                "it."
            )


def _told(found: list[Found], failed: dict[str, str], total: str) -> int:
    if not failed:
        say(f"Deleted {total}.")
        return 0
    names = {one.file.id: one.place for one in found if one.file}
    for file, why in failed.items():
        sys.stderr.write(f"{harmless(f'{names[file]} could not be deleted: {why}')}\n")
    return WRONG
