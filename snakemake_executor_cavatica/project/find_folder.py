"""Folders of a project that are asked for by name, without an index of all files."""

from __future__ import annotations

from ..api import Client, File
from ..api.calls import within
from .paths import encode_folder


def find_folder(client: Client, project: str, path: str) -> File | None:
    """The folder at `path`, asked for by name: the root of a project may hold thousands of files.

    None if there is none, or if `path` is empty: the root itself is nobody's folder.
    """
    found: File | None = None
    for part in filter(None, path.split("/")):
        where = within(found.id if found else None, project)
        entries = client.list_files(names=[encode_folder(part)], **where)
        found = next((entry for entry in entries if entry.is_folder), None)
        if found is None:
            return None
    return found
