"""Names in folders: which are valid, and when one conflicts with what is there."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from cavatica_local.state.database import Database

NAME_MAXIMUM = 255
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")


def is_file_name(name: Any) -> bool:
    """Documented: any characters but the slash, at most 255."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= NAME_MAXIMUM
        and "/" not in name
        and "\0" not in name
        and name not in (".", "..")
    )


def is_folder_name(name: Any) -> bool:
    """Documented: alphanumerics and `_ - .`, not starting with two underscores."""
    return is_file_name(name) and bool(_FOLDER_NAME.match(name)) and not str(name).startswith("__")


def taken_by(database: Database, parent: str, name: str) -> sqlite3.Row | None:
    """What has this name in a folder already, if anything: the name of anything else conflicts."""
    return database.one("SELECT * FROM files WHERE parent = ? AND name = ?", parent, name)


def free_name(database: Database, parent: str, name: str) -> str:
    """The name, or the first of `_1_name`, `_2_name`, … that is free.

    The prefix is documented for automatic renaming; that it is used for task outputs too is seen in
    examples only (switch output_conflict). Thousands of tasks may leave files of one name, so the
    first free number is found by doubling, then halving (where some were deleted: a free one).
    """

    def is_taken(number: int) -> bool:
        return taken_by(database, parent, f"_{number}_{name}") is not None

    if taken_by(database, parent, name) is None:
        return name
    free = 1
    while is_taken(free):
        free *= 2
    taken = free // 2
    while free - taken > 1:
        middle = (free + taken) // 2
        if is_taken(middle):
            taken = middle
        else:
            free = middle
    return f"_{free}_{name}"
