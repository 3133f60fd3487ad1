"""The members of projects."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import PROJECTS, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.services.projects import PROJECT, path_project
from cavatica_local.state.accounts import set_member
from cavatica_local.state.permissions import GRANTED


def _member_fields(request: ApiRequest, project: str) -> Renderers:
    base = f"{request.platform.settings.api}/projects/{project}/members"
    return {
        "href": lambda row: f"{base}/{row['username']}",
        "id": lambda row: row["username"],
        "username": lambda row: row["username"],
        "email": lambda row: row["email"],
        "type": lambda _: "USER",
        "permissions": _granted,
    }


def _granted(row: sqlite3.Row) -> dict[str, bool]:
    return {"read": True, **{name: bool(row[name]) for name in GRANTED}}


def _members(request: ApiRequest, project: str) -> list[sqlite3.Row]:
    return request.database.all(
        "SELECT members.*, users.email FROM members JOIN users USING (username)"
        " WHERE project = ? ORDER BY username",
        project,
    )


def _member(request: ApiRequest, project: str) -> sqlite3.Row:
    for row in _members(request, project):
        if row["username"] == request.path["username"]:
            return row
    raise ApiError(3002, "There is no such member.")


def _list_members(request: ApiRequest) -> Reply:
    project = open_project(request, path_project(request), "read", PROJECTS)["id"]
    rows, page = _members(request, project), request.page
    fields = _member_fields(request, project)
    shown = rows[page.offset : page.offset + page.limit]
    return request.listing([request.render(fields, row) for row in shown], len(rows))


def _add_member(request: ApiRequest) -> Any:
    project = open_project(request, path_project(request), "admin", PROJECTS)["id"]
    body = request.object(3004)
    username = request.database.value(
        "SELECT username FROM users WHERE username = ? OR email = ?",
        body.get("username"),
        body.get("email"),
    )
    if username is None:
        raise ApiError(2002)
    request.path["username"] = username
    if any(row["username"] == username for row in _members(request, project)):
        raise ApiError(3003)
    set_member(
        request.database, project, username, _permissions_body(body.get("permissions") or {})
    )
    return request.render(_member_fields(request, project), _member(request, project))


def _permissions_body(value: Any) -> dict[str, bool]:
    known = {"read", *GRANTED}
    if not isinstance(value, dict) or not set(value) <= known:
        raise ApiError(3013, f"Permissions are an object of {', '.join(sorted(known))}.")
    if not all(isinstance(flag, bool) for flag in value.values()):
        raise ApiError(3013)
    return value


def _get_member(request: ApiRequest) -> Any:
    project = open_project(request, path_project(request), "read", PROJECTS)["id"]
    return request.render(_member_fields(request, project), _member(request, project))


def _remove_member(request: ApiRequest) -> Reply:
    row = open_project(request, path_project(request), "admin", PROJECTS)
    member = _member(request, row["id"])
    if member["username"] == row["owner"]:
        raise ApiError(3001, "The owner cannot be removed from a project.")
    request.database.run(
        "DELETE FROM members WHERE project = ? AND username = ?", row["id"], member["username"]
    )
    return request.deleted()


def _edit_permissions(request: ApiRequest) -> Any:
    return _change_permissions(request, keep=True)


def _replace_permissions(request: ApiRequest) -> Any:
    return _change_permissions(request, keep=False)


def _change_permissions(request: ApiRequest, *, keep: bool) -> dict[str, bool]:
    row = open_project(request, path_project(request), "admin", PROJECTS)
    member = _member(request, row["id"])
    if member["username"] == row["owner"]:
        raise ApiError(3001, "The owner's permissions cannot be changed.")
    granted = _permissions_body(request.object(3013))
    if keep:
        granted = {**_granted(member), **granted}
    set_member(request.database, row["id"], member["username"], granted)
    return _granted(_member(request, row["id"]))


MEMBER = f"{PROJECT}/members/{{username}}"

ROUTES: list[Route] = [
    route(f"{PROJECT}/members", {"GET": _list_members, "POST": _add_member}),
    route(MEMBER, {"GET": _get_member, "DELETE": _remove_member}),
    route(f"{MEMBER}/permissions", {"PATCH": _edit_permissions, "PUT": _replace_permissions}),
]
