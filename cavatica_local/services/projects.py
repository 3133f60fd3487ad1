"""Users, projects and their members."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import (
    GRANTED,
    PROJECTS,
    READABLE_PROJECTS,
    open_project,
    permissions,
)
from cavatica_local.http.call import Call, Reply, route
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.state.database import Database
from cavatica_local.state.platform import Platform, file_id, new_uuid, now, timestamp

PROJECT_SHORT = ("href", "id", "name", "created_by", "category", "created_on", "modified_on")
DEFAULT_SETTINGS: dict[str, Any] = {
    "locked": False,
    "controlled": False,
    "location": "aws:us-east-1",
    "use_interruptible_instances": True,
    "use_memoization": False,
    "use_elastic_disk": False,
    "allow_network_access": False,
    "intermediate_files": {"retention": "LIMITED", "duration": 24},
}
"""Documented defaults: interruptible instances are on for AWS locations, memoization is off. Users
have to switch on the network in a project before its tasks can reach it.
"""


def settings_of(row: sqlite3.Row) -> dict[str, Any]:
    """A project's settings; one that is newer than the project has its default."""
    return {**DEFAULT_SETTINGS, **json.loads(row["settings"])}


NO_CONTAINERS = "no_containers"
"""In a project's settings, which the real platform has not: tasks do not run in their images."""


# --- state ---------------------------------------------------------------------------------------


def create_user(platform: Platform, username: str, token: str, email: str | None = None) -> None:
    """Add a user, with a billing group."""
    platform.database.insert(
        "users",
        {
            "username": username,
            "token": token,
            "email": email or f"{username}@example.org",
            "first_name": username.capitalize(),
            "last_name": "Local",
            "billing_group": new_uuid(),
        },
    )


def create_project(
    database: Database, owner: str, name: str, *, settings: dict[str, Any], **details: Any
) -> str:
    """Add a project with its root folder and its owner as a member; its id."""
    project_id = f"{owner}/{_free_short_name(database, owner, name)}"
    created, root = now(), file_id()
    row = {
        "id": project_id,
        "uuid": new_uuid(),
        "owner": owner,
        "name": name,
        "description": "",
        "tags": "[]",
        "settings": json.dumps(settings),
        "root_folder": root,
        "category": "PRIVATE",
        "created_by": owner,
        "created": created,
        "modified": created,
        **details,
    }
    database.insert("projects", row)
    database.insert(
        "files",
        {
            "id": root,
            "project": project_id,
            "parent": None,
            "name": row["uuid"],
            "type": "folder",
            "size": 0,
            "blob": None,
            "metadata": "{}",
            "tags": "[]",
            "origin_task": None,
            "created": created,
            "modified": created,
        },
    )
    set_member(database, project_id, owner, dict.fromkeys(GRANTED, True))
    return project_id


def short_name(name: str) -> str:
    """Documented: lower case, special characters removed, spaces and underscores to dashes."""
    dashed = re.sub(r"[\s_]+", "-", name.strip().lower())
    return re.sub(r"[^a-z0-9-]", "", dashed)


def _free_short_name(database: Database, owner: str, name: str) -> str:
    short = short_name(name)
    if not short:
        raise ApiError(3007, "The project's name has no letter or digit.")
    candidate, number = short, 0
    while database.one("SELECT 1 FROM projects WHERE id = ?", f"{owner}/{candidate}"):
        number += 1
        candidate = f"{short}_{number}"
    return candidate


def set_member(database: Database, project: str, username: str, granted: dict[str, bool]) -> None:
    """Add a member or replace the permissions of one."""
    database.run("DELETE FROM members WHERE project = ? AND username = ?", project, username)
    flags = {name: bool(granted.get(name)) for name in GRANTED}
    database.insert("members", {"project": project, "username": username, **flags})


# --- users ---------------------------------------------------------------------------------------


def _user_fields(call: Call) -> Renderers:
    api = call.platform.settings.api
    return {
        "href": lambda user: f"{api}/users/{user['username']}",
        "username": lambda user: user["username"],
        "email": lambda user: user["email"],
        "first_name": lambda user: user["first_name"],
        "last_name": lambda user: user["last_name"],
        "role": lambda _: "MEMBER",
        "tags": lambda _: [],
        **{name: lambda _: "" for name in ("affiliation", "phone", "address", "city", "state")},
        "country": lambda _: "",
        "zip_code": lambda _: "",
    }


def _get_user(call: Call) -> Any:
    username = call.path.get("username", call.username)
    row = call.database.one("SELECT * FROM users WHERE username = ?", username)
    if row is None:
        raise ApiError(2002)
    return call.render(_user_fields(call), row)


# --- projects ------------------------------------------------------------------------------------


def _project_fields(call: Call) -> Renderers:
    api = call.platform.settings.api
    return {
        "href": lambda row: f"{api}/projects/{row['id']}",
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "type": lambda _: "v2",
        "description": lambda row: row["description"],
        "tags": lambda row: json.loads(row["tags"]),
        "settings": lambda row: {
            **settings_of(row),
            **({} if call.platform.settings.containers else {NO_CONTAINERS: True}),
        },
        "permissions": lambda row: permissions(call.database, call.username, row),
        "root_folder": lambda row: row["root_folder"],
        "billing_group": lambda row: row["billing_group"],
        "created_by": lambda row: row["created_by"],
        "created_on": lambda row: timestamp(row["created"]),
        "modified_on": lambda row: timestamp(row["modified"]),
        "category": lambda row: row["category"],
    }


def _path_project(call: Call) -> str:
    return f"{call.path['owner']}/{call.path['project']}"


def _list_projects(call: Call) -> Reply:
    """Own and shared projects; a public one only with `category=PUBLIC` (or by its id)."""
    category = call.query.get("category", "PRIVATE").upper()
    where = f"category = ? AND id IN {READABLE_PROJECTS}"
    values: list[Any] = [category, call.username]
    if "owner" in call.path:
        where += " AND owner = ?"
        values.append(call.path["owner"])
    if name := call.query.get("name"):
        where += " AND instr(lower(name), lower(?)) > 0"
        values.append(name)
    rows = call.database.all(f"SELECT * FROM projects WHERE {where} ORDER BY id", *values)  # noqa: S608
    if wanted := set(call.query.getlist("tags")):
        rows = [row for row in rows if wanted <= set(json.loads(row["tags"]))]
    page = call.page
    fields = _project_fields(call)
    shown = rows[page.offset : page.offset + page.limit]
    return call.listing([call.render(fields, row, PROJECT_SHORT) for row in shown], len(rows))


def _create_project(call: Call) -> Any:
    body = call.object(3004)
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ApiError(3007)
    project_id = create_project(
        call.database,
        call.username,
        name,
        settings={**DEFAULT_SETTINGS, **_settings(body.get("settings"))},
        description=_text(body, "description"),
        tags=json.dumps(_tags(body)),
        billing_group=_billing_group(call, body.get("billing_group")),
    )
    row = call.database.one("SELECT * FROM projects WHERE id = ?", project_id)
    return call.render(_project_fields(call), row)


def _billing_group(call: Call, wanted: Any) -> str:
    own: str = call.database.value(
        "SELECT billing_group FROM users WHERE username = ?", call.username
    )
    if wanted is not None and wanted != own:
        raise ApiError(3008)
    return own


def _settings(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not set(value) <= set(DEFAULT_SETTINGS):
        raise ApiError(3004, f"Settings are an object of {', '.join(DEFAULT_SETTINGS)}.")
    return value


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise ApiError(3004, f"{key} has to be a string.")
    return value or ""


def _tags(body: dict[str, Any]) -> list[str]:
    tags = body.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ApiError(3004, "Tags have to be a list of strings.")
    return tags


def _get_project(call: Call) -> Any:
    row = open_project(call, _path_project(call), "read", PROJECTS)
    return call.render(_project_fields(call), row)


def _edit_project(call: Call) -> Any:
    row = open_project(call, _path_project(call), "admin", PROJECTS)
    body = call.object(3004)
    changes: dict[str, Any] = {"modified": now()}
    if "name" in body:
        if not isinstance(body["name"], str) or not body["name"].strip():
            raise ApiError(3007)
        changes["name"] = body["name"]
    if "description" in body:
        changes["description"] = _text(body, "description")
    if "tags" in body:
        changes["tags"] = json.dumps(_tags(body))
    if "settings" in body:
        merged = {**settings_of(row), **_settings(body["settings"])}
        changes["settings"] = json.dumps(merged)
    if "billing_group" in body:
        changes["billing_group"] = _billing_group(call, body["billing_group"])
    call.database.update("projects", row["id"], changes)
    return _get_project(call)


def _delete_project(call: Call) -> Reply:
    row = open_project(call, _path_project(call), "admin", PROJECTS)
    database, project = call.database, row["id"]
    active = database.all(
        "SELECT id FROM tasks WHERE project = ? AND status IN ('QUEUED', 'RUNNING', 'CREATING')",
        project,
    )
    for task in active:
        call.platform.scheduler.forget(task["id"])
    blobs = database.all(
        "SELECT DISTINCT blob FROM files WHERE project = ? AND blob IS NOT NULL", project
    )
    for table in ("files", "tasks", "members", "uploads"):
        database.run(f"DELETE FROM {table} WHERE project = ?", project)  # noqa: S608
    database.run(
        "DELETE FROM revisions WHERE app IN (SELECT id FROM apps WHERE project = ?)", project
    )
    database.run("DELETE FROM apps WHERE project = ?", project)
    database.run("DELETE FROM projects WHERE id = ?", project)
    for blob in blobs:
        call.platform.forget_content(blob["blob"])
    return call.deleted()


# --- members -------------------------------------------------------------------------------------


def _member_fields(call: Call, project: str) -> Renderers:
    base = f"{call.platform.settings.api}/projects/{project}/members"
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


def _members(call: Call, project: str) -> list[sqlite3.Row]:
    return call.database.all(
        "SELECT members.*, users.email FROM members JOIN users USING (username)"
        " WHERE project = ? ORDER BY username",
        project,
    )


def _member(call: Call, project: str) -> sqlite3.Row:
    for row in _members(call, project):
        if row["username"] == call.path["username"]:
            return row
    raise ApiError(3002, "There is no such member.")


def _list_members(call: Call) -> Reply:
    project = open_project(call, _path_project(call), "read", PROJECTS)["id"]
    rows, page = _members(call, project), call.page
    fields = _member_fields(call, project)
    shown = rows[page.offset : page.offset + page.limit]
    return call.listing([call.render(fields, row) for row in shown], len(rows))


def _add_member(call: Call) -> Any:
    project = open_project(call, _path_project(call), "admin", PROJECTS)["id"]
    body = call.object(3004)
    username = call.database.value(
        "SELECT username FROM users WHERE username = ? OR email = ?",
        body.get("username"),
        body.get("email"),
    )
    if username is None:
        raise ApiError(2002)
    call.path["username"] = username
    if any(row["username"] == username for row in _members(call, project)):
        raise ApiError(3003)
    set_member(call.database, project, username, _permissions_body(body.get("permissions") or {}))
    return call.render(_member_fields(call, project), _member(call, project))


def _permissions_body(value: Any) -> dict[str, bool]:
    known = {"read", *GRANTED}
    if not isinstance(value, dict) or not set(value) <= known:
        raise ApiError(3013, f"Permissions are an object of {', '.join(sorted(known))}.")
    if not all(isinstance(flag, bool) for flag in value.values()):
        raise ApiError(3013)
    return value


def _get_member(call: Call) -> Any:
    project = open_project(call, _path_project(call), "read", PROJECTS)["id"]
    return call.render(_member_fields(call, project), _member(call, project))


def _remove_member(call: Call) -> Reply:
    row = open_project(call, _path_project(call), "admin", PROJECTS)
    member = _member(call, row["id"])
    if member["username"] == row["owner"]:
        raise ApiError(3001, "The owner cannot be removed from a project.")
    call.database.run(
        "DELETE FROM members WHERE project = ? AND username = ?", row["id"], member["username"]
    )
    return call.deleted()


def _edit_permissions(call: Call) -> Any:
    return _change_permissions(call, keep=True)


def _replace_permissions(call: Call) -> Any:
    return _change_permissions(call, keep=False)


def _change_permissions(call: Call, *, keep: bool) -> dict[str, bool]:
    row = open_project(call, _path_project(call), "admin", PROJECTS)
    member = _member(call, row["id"])
    if member["username"] == row["owner"]:
        raise ApiError(3001, "The owner's permissions cannot be changed.")
    granted = _permissions_body(call.object(3013))
    if keep:
        granted = {**_granted(member), **granted}
    set_member(call.database, row["id"], member["username"], granted)
    return _granted(_member(call, row["id"]))


PROJECT = "/projects/{owner}/{project}"

ROUTES: list[Route] = [
    route("/user", {"GET": _get_user}),
    route("/users/{username}", {"GET": _get_user}),
    route("/projects", {"GET": _list_projects, "POST": _create_project}),
    route("/projects/{owner}", {"GET": _list_projects}),
    route(PROJECT, {"GET": _get_project, "PATCH": _edit_project, "DELETE": _delete_project}),
    route(f"{PROJECT}/members", {"GET": _list_members, "POST": _add_member}),
    route(f"{PROJECT}/members/{{username}}", {"GET": _get_member, "DELETE": _remove_member}),
    route(
        f"{PROJECT}/members/{{username}}/permissions",
        {"PATCH": _edit_permissions, "PUT": _replace_permissions},
    ),
]
