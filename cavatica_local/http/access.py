"""Who may do what: members of projects and their permissions.

Documented meanings: read (every member): names, metadata and apps; copy: contents, download, copy;
write: add, change and remove files and apps; execute: run and abort tasks; admin: everything.
A public project may be read and copied from by everybody.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from cavatica_local.errors import ApiError
from cavatica_local.http.call import Call
from cavatica_local.state.database import Database

Permission = Literal["read", "copy", "write", "execute", "admin"]
GRANTED = ("write", "copy", "execute", "admin")
"""The permissions that a membership grants one by one; read comes with being a member."""


@dataclass(frozen=True)
class Codes:
    """How a service words that something is absent, or not allowed."""

    missing: int
    denied: int


PROJECTS = Codes(3002, 3001)
FILES = Codes(5002, 5001)
COPIES = Codes(5002, 5014)
APPS = Codes(6002, 6001)
TASKS = Codes(7002, 7001)
UPLOADS = Codes(3002, 8001)


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


def open_project(call: Call, project: str, need: Permission, codes: Codes) -> sqlite3.Row:
    """The project, if the caller has this permission in it."""
    row = call.database.one("SELECT * FROM projects WHERE id = ?", project)
    if row is None:
        raise ApiError(codes.missing)
    allowed = permissions(call.database, call.username, row)
    if not allowed["read"]:
        hidden = call.switches.unreadable_project_status == 404  # noqa: PLR2004
        raise ApiError(codes.missing if hidden else codes.denied)
    if not allowed[need]:
        raise ApiError(codes.denied)
    return row


READABLE_PROJECTS = (
    "(SELECT project FROM members WHERE username = ?"
    " UNION SELECT id FROM projects WHERE category = 'PUBLIC')"
)
"""SQL: the projects that the user of the one parameter may see."""
