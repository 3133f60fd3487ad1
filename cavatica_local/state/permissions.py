"""Who may do what: members of projects and their permissions.

Documented meanings: read (every member): names, metadata and apps; copy: contents, download, copy;
write: add, change and remove files and apps; execute: run and abort tasks; admin: everything.
A public project may be read and copied from by everybody.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

from cavatica_local.state.database import Database

Permission = Literal["read", "copy", "write", "execute", "admin"]
GRANTED = ("write", "copy", "execute", "admin")
"""The permissions that a membership grants one by one; read comes with being a member."""


def permissions(database: Database, username: str, project: sqlite3.Row) -> dict[str, bool]:
    """All permissions of a user in a project."""
    member = database.one(
        "SELECT * FROM members WHERE project = ? AND username = ?", project["id"], username
    )
    if member is not None:
        admin = bool(member["admin"])
        granted = {name: admin or bool(member[name]) for name in GRANTED}
        return {"read": True, **granted}
    public = project["category"] == "PUBLIC"
    return {"read": public, "write": False, "copy": public, "execute": False, "admin": False}


READABLE_PROJECTS = (
    "(SELECT project FROM members WHERE username = ?"
    " UNION SELECT id FROM projects WHERE category = 'PUBLIC')"
)
"""SQL: the projects that the user of the one parameter may see."""
