"""Users, projects and their members."""

from __future__ import annotations

import json
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import PROJECTS, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.state.accounts import DEFAULT_SETTINGS, create_project, settings_of
from cavatica_local.state.permissions import READABLE_PROJECTS, permissions
from cavatica_local.state.times import now, timestamp

PROJECT_SHORT = ("href", "id", "name", "created_by", "category", "created_on", "modified_on")


NO_CONTAINERS = "no_containers"
"""In a project's settings, which the real platform has not: tasks do not run in their images."""


def _project_fields(request: ApiRequest) -> Renderers:
    api = request.platform.settings.api
    return {
        "href": lambda row: f"{api}/projects/{row['id']}",
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "type": lambda _: "v2",
        "description": lambda row: row["description"],
        "tags": lambda row: json.loads(row["tags"]),
        "settings": lambda row: {
            **settings_of(row),
            **({} if request.platform.settings.containers else {NO_CONTAINERS: True}),
        },
        "permissions": lambda row: permissions(request.database, request.username, row),
        "root_folder": lambda row: row["root_folder"],
        "billing_group": lambda row: row["billing_group"],
        "created_by": lambda row: row["created_by"],
        "created_on": lambda row: timestamp(row["created"]),
        "modified_on": lambda row: timestamp(row["modified"]),
        "category": lambda row: row["category"],
    }


def path_project(request: ApiRequest) -> str:
    """The id of the project that the path names."""
    return f"{request.path['owner']}/{request.path['project']}"


def list_projects(request: ApiRequest) -> Reply:
    """Own and shared projects; a public one only with `category=PUBLIC` (or by its id)."""
    category = request.query.get("category", "PRIVATE").upper()
    where = f"category = ? AND id IN {READABLE_PROJECTS}"
    values: list[Any] = [category, request.username]
    if "owner" in request.path:
        where += " AND owner = ?"
        values.append(request.path["owner"])
    if name := request.query.get("name"):
        where += " AND instr(lower(name), lower(?)) > 0"
        values.append(name)
    rows = request.database.all(f"SELECT * FROM projects WHERE {where} ORDER BY id", *values)  # noqa: S608
    if wanted := set(request.query.getlist("tags")):
        rows = [row for row in rows if wanted <= set(json.loads(row["tags"]))]
    page = request.page
    fields = _project_fields(request)
    shown = rows[page.offset : page.offset + page.limit]
    return request.listing([request.render(fields, row, PROJECT_SHORT) for row in shown], len(rows))


def _create_project(request: ApiRequest) -> Any:
    body = request.object(3004)
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ApiError(3007)
    project_id = create_project(
        request.database,
        request.username,
        name,
        settings={**DEFAULT_SETTINGS, **_settings(body.get("settings"))},
        description=_text(body, "description"),
        tags=json.dumps(_tags(body)),
        billing_group=_billing_group(request, body.get("billing_group")),
    )
    row = request.database.one("SELECT * FROM projects WHERE id = ?", project_id)
    return request.render(_project_fields(request), row)


def _billing_group(request: ApiRequest, wanted: Any) -> str:
    own: str = request.database.value(
        "SELECT billing_group FROM users WHERE username = ?", request.username
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


def get_project(request: ApiRequest) -> Any:
    """`GET /projects/{owner}/{project}`."""
    row = open_project(request, path_project(request), "read", PROJECTS)
    return request.render(_project_fields(request), row)


def _edit_project(request: ApiRequest) -> Any:
    row = open_project(request, path_project(request), "admin", PROJECTS)
    body = request.object(3004)
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
        changes["billing_group"] = _billing_group(request, body["billing_group"])
    request.database.update("projects", row["id"], changes)
    return get_project(request)


def _delete_project(request: ApiRequest) -> Reply:
    row = open_project(request, path_project(request), "admin", PROJECTS)
    database, project = request.database, row["id"]
    active = database.all(
        "SELECT id FROM tasks WHERE project = ? AND status IN ('QUEUED', 'RUNNING', 'CREATING')",
        project,
    )
    for task in active:
        request.scheduler.interventions.forget(task["id"])
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
        request.platform.forget_content(blob["blob"])
    return request.deleted()


PROJECT = "/projects/{owner}/{project}"

ROUTES: list[Route] = [
    route("/projects", {"GET": list_projects, "POST": _create_project}),
    route("/projects/{owner}", {"GET": list_projects}),
    route(PROJECT, {"GET": get_project, "PATCH": _edit_project, "DELETE": _delete_project}),
]
