"""Apps: CWL documents with revisions."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.cwl import documents
from cavatica_local.errors import ApiError
from cavatica_local.http.access import APPS, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.state.app_revisions import document_of, find_revision
from cavatica_local.state.permissions import READABLE_PROJECTS
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import now

SHORT = ("href", "id", "name", "project")
STRATEGIES = ("clone", "direct", "clone_direct", "transient")
_SHORT_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_PLATFORM_KEYS = frozenset(
    f"sbg:{name}"
    for name in (
        *("id", "revision", "latestRevision", "revisionsInfo", "createdBy", "createdOn"),
        *("modifiedBy", "modifiedOn", "project", "projectName", "contributors", "appVersion"),
        *("image_url", "publisher", "content_hash", "sbgMaintained", "validationErrors", "copyOf"),
    )
)
"""Keys that the platform adds; they are dropped when a fetched document is sent back."""


def _add_revision(
    request: ApiRequest, app: str, revision: int, document: Any, errors: list[str]
) -> None:
    notes = document.get("sbg:revisionNotes")
    request.database.insert(
        "revisions",
        {
            "app": app,
            "revision": revision,
            "name": str(documents.main_process(document).get("label") or app.rpartition("/")[2]),
            "document": json.dumps(document),
            "errors": json.dumps(errors),
            "notes": None if notes is None else str(notes),
            "created_by": request.username,
            "created": now(),
        },
    )


def raw(platform: Platform, revision: sqlite3.Row) -> dict[str, Any]:
    """The stored CWL with the keys that the platform adds (documented in examples)."""
    database = platform.database
    app = database.one("SELECT * FROM apps WHERE id = ?", revision["app"])
    if app is None:
        raise ApiError(6002)
    history = database.all("SELECT * FROM revisions WHERE app = ? ORDER BY revision", app["id"])
    identifier = f"{app['id']}/{revision['revision']}"
    document = document_of(revision)
    added: dict[str, Any] = {
        "id": f"{platform.settings.api}/apps/{identifier}/raw/",
        "sbg:id": identifier,
        "sbg:revision": revision["revision"],
        "sbg:latestRevision": app["latest"],
        "sbg:revisionNotes": revision["notes"],
        "sbg:revisionsInfo": [
            {
                "sbg:revision": row["revision"],
                "sbg:modifiedBy": row["created_by"],
                "sbg:modifiedOn": int(row["created"]),
                "sbg:revisionNotes": row["notes"],
            }
            for row in history
        ],
        "sbg:createdBy": history[0]["created_by"],
        "sbg:createdOn": int(history[0]["created"]),
        "sbg:modifiedBy": revision["created_by"],
        "sbg:modifiedOn": int(revision["created"]),
        "sbg:project": app["project"],
        "sbg:projectName": database.value("SELECT name FROM projects WHERE id = ?", app["project"]),
        "sbg:contributors": sorted({row["created_by"] for row in history}),
        "sbg:appVersion": [str(document.get("cwlVersion"))],
        "sbg:image_url": None,
        "sbg:publisher": "sbg",
        "sbg:content_hash": hashlib.sha256(revision["document"].encode()).hexdigest(),
        "sbg:sbgMaintained": False,
        "sbg:validationErrors": json.loads(revision["errors"]),
    }
    if app["copy_of"]:
        added["sbg:copyOf"] = app["copy_of"]
    return {**document, **added}


def _fields(platform: Platform, *, with_revision: bool) -> Renderers:
    api = platform.settings.api

    def identifier(row: sqlite3.Row) -> str:
        return f"{row['app']}/{row['revision']}" if with_revision else str(row["app"])

    return {
        "href": lambda row: f"{api}/apps/{identifier(row)}",
        "id": identifier,
        "project": lambda row: row["app"].rpartition("/")[0],
        "name": lambda row: row["name"],
        "revision": lambda row: row["revision"],
        "raw": lambda row: raw(platform, row),
    }


# --- handlers ------------------------------------------------------------------------------------


def _path_app(request: ApiRequest) -> str:
    return f"{request.path['owner']}/{request.path['project']}/{request.path['app']}"


def _path_revision(request: ApiRequest, *, need_copy: bool = False) -> sqlite3.Row:
    """The revision that the path names; the latest one where it names none."""
    app = request.database.one("SELECT * FROM apps WHERE id = ?", _path_app(request))
    project = f"{request.path['owner']}/{request.path['project']}"
    open_project(request, project, "copy" if need_copy else "read", APPS)
    if app is None:
        raise ApiError(6002)
    number = int(request.path["revision"]) if "revision" in request.path else app["latest"]
    revision = find_revision(request.database, app["id"], number)
    if revision is None:
        raise ApiError(6002)
    return revision


def _get_app(request: ApiRequest) -> Any:
    return request.render(_fields(request.platform, with_revision=True), _path_revision(request))


def get_raw(request: ApiRequest) -> Any:
    """`GET /apps/{owner}/{project}/{app}/{revision}/raw`."""
    return raw(request.platform, _path_revision(request))


def _list_apps(request: ApiRequest) -> Reply:
    where = f"apps.project IN {READABLE_PROJECTS}"
    values: list[Any] = [request.username]
    if project := request.query.get("project"):
        open_project(request, project, "read", APPS)
        where += " AND apps.project = ?"
        values.append(project)
    elif request.query.get("visibility", "private").lower() == "public":
        where += " AND apps.project IN (SELECT id FROM projects WHERE category = 'PUBLIC')"
    else:
        where += " AND apps.project IN (SELECT id FROM projects WHERE category = 'PRIVATE')"
    if identifiers := request.query.getlist("id"):
        where += f" AND apps.id IN ({', '.join('?' for _ in identifiers)})"
        values += identifiers
    for term in request.query.getlist("q"):
        where += " AND instr(lower(revisions.name || ' ' || apps.id), lower(?)) > 0"
        values.append(term)
    source = (
        "FROM apps JOIN revisions ON revisions.app = apps.id AND revisions.revision = apps.latest"
        f" WHERE {where}"
    )
    page = request.page
    total = request.database.value(f"SELECT count(*) {source}", *values)
    rows = request.database.all(
        f"SELECT revisions.* {source} ORDER BY apps.id LIMIT ? OFFSET ?",
        *values,
        page.limit,
        page.offset,
    )
    fields = _fields(request.platform, with_revision=False)
    return request.listing([request.render(fields, row, SHORT) for row in rows], total)


async def _install(request: ApiRequest) -> Any:
    """A new app, or its next revision: the number must be exactly the latest one plus 1.

    Documented is a path with a revision; the provider's clients install new apps without one.
    """
    project = f"{request.path['owner']}/{request.path['project']}"
    open_project(request, project, "write", APPS)
    app = _path_app(request)
    if not _SHORT_NAME.match(request.path["app"]):
        raise ApiError(6011)
    document = _document(request)
    _next_revision(request, app)
    errors = await _validation_errors(request.platform, document)
    with request.database.transaction():
        number = _next_revision(request, app)
        if number == 0:
            request.database.insert(
                "apps", {"id": app, "project": project, "latest": 0, "copy_of": None}
            )
        request.database.run("UPDATE apps SET latest = ? WHERE id = ?", number, app)
        _add_revision(request, app, number, document, errors)
    revision = find_revision(request.database, app, number)
    if revision is None:
        raise ApiError(6002)
    return raw(request.platform, revision)


def _document(request: ApiRequest) -> dict[str, Any]:
    document = request.object(6004)
    if len(json.dumps(document)) > request.switches.app_json_limit:
        raise ApiError(6004, f"The app has more than {request.switches.app_json_limit} bytes.")
    if not document.get("class") and not document.get("$graph"):
        raise ApiError(6004, "The document is no CWL process.")
    kept = {key: value for key, value in document.items() if key not in _PLATFORM_KEYS}
    if str(kept.get("id", "")).startswith(("http://", "https://")):
        # The platform's own id, sent back with a document that was fetched from here.
        del kept["id"]
    return kept


def _next_revision(request: ApiRequest, app: str) -> int:
    latest = request.database.value("SELECT latest FROM apps WHERE id = ?", app)
    following: int = 0 if latest is None else latest + 1
    wanted = int(request.path["revision"]) if "revision" in request.path else 0
    if latest is None and wanted > 0:
        raise ApiError(6002)
    if wanted != following:
        raise ApiError(6003)
    return following


async def _validation_errors(platform: Platform, document: dict[str, Any]) -> list[str]:
    unpacked = documents.unpacked_parts(document)
    if unpacked:
        # Never handed to cwltool, which would read the files and addresses.
        return [f"The document is not packed: {part}" for part in unpacked]
    if platform.switches.string_outputs == "refused" and _has_text_output(document):
        return ["Outputs have to be files or folders."]
    return await platform.validator.errors(document)


def _has_text_output(document: dict[str, Any]) -> bool:
    ports = documents.output_ports(document).values()
    return any("string" in port.alternatives for port in ports)


def _copy_app(request: ApiRequest) -> Any:
    """Copy an app; the strategies differ in whether all revisions come along."""
    source = _path_revision(request, need_copy=True)
    body = request.object(6004)
    project = body.get("project")
    strategy = body.get("strategy", "clone")
    if not isinstance(project, str) or strategy not in STRATEGIES:
        raise ApiError(6004, f"A project and one of {', '.join(STRATEGIES)} are required.")
    open_project(request, project, "write", APPS)
    name = body.get("name") or request.path["app"]
    if not isinstance(name, str) or not _SHORT_NAME.match(name):
        raise ApiError(6011)
    target = f"{project}/{name}"
    if request.database.one("SELECT 1 FROM apps WHERE id = ?", target):
        raise ApiError(6003)
    revisions = [source]
    if strategy in ("clone", "clone_direct"):
        revisions = request.database.all(
            "SELECT * FROM revisions WHERE app = ? AND revision <= ? ORDER BY revision",
            source["app"],
            source["revision"],
        )
    request.database.insert(
        "apps",
        {
            "id": target,
            "project": project,
            "latest": len(revisions) - 1,
            "copy_of": f"{source['app']}/{source['revision']}",
        },
    )
    for number, row in enumerate(revisions):
        request.database.insert("revisions", {**dict(row), "app": target, "revision": number})
    copy = find_revision(request.database, target, len(revisions) - 1)
    return request.render(_fields(request.platform, with_revision=True), copy)


APP = "/apps/{owner}/{project}/{app}"

ROUTES: list[Route] = [
    route("/apps", {"GET": _list_apps}),
    route(APP, {"GET": _get_app}),
    route(f"{APP}/raw", {"GET": get_raw, "POST": _install}),
    route(f"{APP}/actions/copy", {"POST": _copy_app}),
    route(f"{APP}/{{revision:int}}", {"GET": _get_app}),
    route(f"{APP}/{{revision:int}}/raw", {"GET": get_raw, "POST": _install}),
    route(f"{APP}/{{revision:int}}/actions/copy", {"POST": _copy_app}),
]
