"""The tree of files and folders in the database.

No permissions and no HTTP here: handlers, uploads, async jobs and the collection of task outputs
all change the tree through these functions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from cavatica_local.errors import ApiError
from cavatica_local.state import names
from cavatica_local.state.blobs import Content
from cavatica_local.state.database import Database
from cavatica_local.state.ids import file_id
from cavatica_local.state.times import now

METADATA_KEYS_MAXIMUM = 1000
METADATA_KEY_MAXIMUM = 100
METADATA_VALUE_MAXIMUM = 300


def check_metadata(metadata: Any) -> dict[str, str | None]:
    """Documented: at most 1,000 pairs, keys of 100 bytes without `.` and `$`, values of 300."""
    if not isinstance(metadata, dict) or len(metadata) > METADATA_KEYS_MAXIMUM:
        raise ApiError(5006)
    for key, value in metadata.items():
        if not key or len(key.encode()) > METADATA_KEY_MAXIMUM or "." in key or "$" in key:
            raise ApiError(5006, f"The metadata key '{key}' is not valid.")
        if value is not None and not isinstance(value, str):
            raise ApiError(5006, f"The metadata value of '{key}' has to be a string or null.")
        if value is not None and len(value.encode()) > METADATA_VALUE_MAXIMUM:
            raise ApiError(5006, f"The metadata value of '{key}' is too long.")
    return metadata


def check_tags(tags: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ApiError(5033, "Tags have to be a list of strings.")
    return tags


def find(database: Database, key: str) -> sqlite3.Row | None:
    """A file or folder by id."""
    return database.one("SELECT * FROM files WHERE id = ?", key)


def children(database: Database, parent: str) -> list[sqlite3.Row]:
    """What a folder holds, one level deep."""
    return database.all("SELECT * FROM files WHERE parent = ? ORDER BY id", parent)


def walk(database: Database, row: sqlite3.Row) -> Iterator[sqlite3.Row]:
    """A file, or a folder with everything in it, contents before their folder."""
    if row["type"] == "folder":
        for item in children(database, row["id"]):
            yield from walk(database, item)
    yield row


def add(
    database: Database,
    *,
    project: str,
    parent: str | None,
    name: str,
    content: Content | None,
    origin_task: str | None = None,
    metadata: str = "{}",
    tags: str = "[]",
) -> str:
    """Add a file, or without content a folder; its id."""
    created, key = now(), file_id()
    database.insert(
        "files",
        {
            "id": key,
            "project": project,
            "parent": parent,
            "name": name,
            "type": "folder" if content is None else "file",
            "size": 0 if content is None else content.size,
            "blob": None if content is None else content.blob,
            "metadata": metadata,
            "tags": tags,
            "origin_task": origin_task,
            "created": created,
            "modified": created,
        },
    )
    return key


def copy_file(database: Database, row: sqlite3.Row, target: sqlite3.Row, name: str) -> str:
    """Add a file with the same content, metadata and tags; the copy has no origin (documented)."""
    return add(
        database,
        project=target["project"],
        parent=target["id"],
        name=names.free_name(database, target["id"], name),
        content=Content(row["blob"], row["size"]),
        metadata=row["metadata"],
        tags=row["tags"],
    )


def ensure_folders(database: Database, root: sqlite3.Row, path: list[str]) -> str:
    """The folder at a path below another one, created where it is missing; or a ValueError."""
    current: str = root["id"]
    for name in path:
        if not names.is_folder_name(name):
            raise ValueError(f"'{name}' is not a valid folder name")
        existing = names.taken_by(database, current, name)
        if existing is None:
            current = add(
                database, project=root["project"], parent=current, name=name, content=None
            )
        elif existing["type"] != "folder":
            raise ValueError(f"'{name}' is a file and no folder")
        else:
            current = existing["id"]
    return current


def merged_metadata(row: sqlite3.Row, changes: dict[str, str | None]) -> str:
    """The metadata of a file with some keys changed; null removes a key."""
    merged = {**json.loads(row["metadata"]), **changes}
    kept = {key: value for key, value in merged.items() if value is not None}
    check_metadata(kept)
    return json.dumps(kept)
