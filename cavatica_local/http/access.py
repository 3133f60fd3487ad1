"""A project by id, for a user who has the permission that the request needs."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from cavatica_local.errors import ApiError
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.state.permissions import Permission, permissions


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


def open_project(request: ApiRequest, project: str, need: Permission, codes: Codes) -> sqlite3.Row:
    """The project, if the caller has this permission in it."""
    row = request.database.one("SELECT * FROM projects WHERE id = ?", project)
    if row is None:
        raise ApiError(codes.missing)
    allowed = permissions(request.database, request.username, row)
    if not allowed["read"]:
        hidden = request.switches.unreadable_project_status == 404  # noqa: PLR2004
        raise ApiError(codes.missing if hidden else codes.denied)
    if not allowed[need]:
        raise ApiError(codes.denied)
    return row
