"""Files and folders by id or place, for a user who may, and how they are shown."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from cavatica_local.errors import ApiError
from cavatica_local.http.access import COPIES, FILES, Codes, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.state import tree
from cavatica_local.state.permissions import Permission
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import timestamp

SHORT = ("href", "id", "name", "project")
FOLDER_SHORT = (*SHORT, "parent", "type")


def file_fields(platform: Platform) -> Renderers:
    """How a file or folder is shown. `type` has the casing of the documented listings."""
    api = platform.settings.api
    return {
        "href": lambda row: f"{api}/files/{row['id']}",
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "size": lambda row: row["size"],
        "project": lambda row: row["project"],
        "parent": lambda row: row["parent"],
        "type": lambda row: row["type"].upper(),
        "created_on": lambda row: timestamp(row["created"]),
        "modified_on": lambda row: timestamp(row["modified"]),
        "storage": lambda _: {"type": "PLATFORM", "hosted_on_locations": ["aws:us-east-1"]},
        "origin": lambda row: {"task": row["origin_task"]} if row["origin_task"] else {},
        "metadata": lambda row: json.loads(row["metadata"]),
        "tags": lambda row: json.loads(row["tags"]),
    }


def open_file(request: ApiRequest, key: Any, need: Permission, codes: Codes = FILES) -> sqlite3.Row:
    """A file or folder by id, if the caller has this permission in its project."""
    if not isinstance(key, str) or not key:
        raise ApiError(5004)
    row = tree.find(request.database, key)
    if row is None:
        raise ApiError(codes.missing)
    open_project(request, row["project"], need, codes)
    return row


def open_folder(
    request: ApiRequest, key: Any, need: Permission, codes: Codes = FILES
) -> sqlite3.Row:
    """A folder that something is to be put into or listed."""
    try:
        row = open_file(request, key, need, codes)
    except ApiError as error:
        if error.code == codes.missing:
            raise ApiError(5026) from error
        raise
    if row["type"] != "folder":
        raise ApiError(5022)
    return row


def destination(request: ApiRequest, body: dict[str, Any], codes: Codes = FILES) -> sqlite3.Row:
    """The folder named by `parent` or `project` (exactly one of them), which must be writable."""
    parent, project = body.get("parent"), body.get("project")
    if parent is None and project is None:
        raise ApiError(5029)
    if parent is not None and project is not None:
        raise ApiError(5031)
    if parent is not None:
        return open_folder(request, parent, "write", codes)
    row = open_project(request, str(project), "write", Codes(3002, codes.denied))
    return open_folder(request, row["root_folder"], "write", codes)


def path_file(request: ApiRequest, need: Permission, codes: Codes = FILES) -> sqlite3.Row:
    """The file or folder that the path names."""
    return open_file(request, request.path["file_id"], need, codes)


def path_content(request: ApiRequest) -> sqlite3.Row:
    """The file that the path names, if the caller may have its content and it is there."""
    row = path_file(request, "copy", COPIES)
    if row["type"] == "folder":
        raise ApiError(5017)
    if not request.platform.blobs.exists(row["blob"]):
        # Not 5000, which means that it may be there again: a client would ask for ever.
        raise ApiError(5002, "The file is lost: a task has changed its content. Upload it again.")
    return row


def file_document(request: ApiRequest, key: str) -> dict[str, Any]:
    """A file or folder as the request wants to see it."""
    return request.render(file_fields(request.platform), tree.find(request.database, key))
