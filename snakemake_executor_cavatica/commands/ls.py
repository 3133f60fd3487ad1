"""`snakemake-cavatica ls`: what is in a project."""

from __future__ import annotations

import argparse
from typing import Any

from ..project.found import Found, below, children
from .data_places import connect, found_at, harmless, say
from .platform import tell_waits
from .show import moment, show, show_json, table

_COLUMNS = ("SIZE", "TIME", "ID", "PLACE", "METADATA")


def run(options: argparse.Namespace) -> int:
    """List it; the exit status."""
    tell_waits()
    connection = connect(options)
    found = found_at(connection, options.places, None)
    folders = [one for one in found if one.is_folder]
    if options.recursive:
        inside = below(connection.client, folders)
    elif len(folders) == len(found):
        inside = children(connection.client, folders)
    else:
        inside = folders  # a pattern that matches both names them, as the shell's own would
    files = [one for one in found if not one.is_folder]
    listed = sorted([*files, *inside], key=lambda one: one.place)
    if options.json:
        show_json({"files": [_document(one) for one in listed]})
    elif options.long:
        show(table(_COLUMNS, map(_cells, listed), numbers="SIZE"))
    else:
        for one in listed:
            say(_place(one))
    return 0


def _place(one: Found) -> str:
    return f"{one.place}/" if one.is_folder else str(one.place)


def _cells(one: Found) -> tuple[object, ...]:
    file = one.file
    if file is None:
        return ("", "-", "", _place(one), "")
    made = file.created_on.timestamp() if file.created_on else None
    metadata = ", ".join(f"{key}={value}" for key, value in sorted(file.metadata.items()))
    size = "" if file.is_folder else file.size
    return (size, moment(made), file.id, harmless(_place(one)), harmless(metadata))


def _document(one: Found) -> dict[str, Any]:
    file = one.file
    if file is None:
        return {"place": str(one.place), "type": "folder"}
    return {
        "place": str(one.place),
        "type": "folder" if file.is_folder else "file",
        "id": file.id,
        "size": None if file.is_folder else file.size,
        "created": file.created_on.isoformat() if file.created_on else None,
        "metadata": dict(file.metadata),
    }
