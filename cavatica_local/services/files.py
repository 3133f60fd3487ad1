"""Files and folders: details, and creating, copying, moving, deleting."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import COPIES
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.services.file_listings import (
    list_files,
    list_folder,
    scroll_files,
    scroll_folder,
)
from cavatica_local.services.file_places import (
    destination,
    file_document,
    file_fields,
    open_file,
    open_folder,
    path_content,
    path_file,
)
from cavatica_local.services.signed_urls import download_url
from cavatica_local.state import names, tree
from cavatica_local.state.times import now

# --- details -------------------------------------------------------------------------------------


def get_file(request: ApiRequest) -> Any:
    """`GET /files/{file_id}`."""
    return request.render(file_fields(request.platform), path_file(request, "read"))


def _edit_file(request: ApiRequest) -> Any:
    row = path_file(request, "write")
    change_details(request, row, request.object(5033), replace=False)
    return file_document(request, row["id"])


def change_details(
    request: ApiRequest, row: sqlite3.Row, body: dict[str, Any], *, replace: bool
) -> None:
    """Change name, tags and metadata of a file; with `replace`, what is absent is erased."""
    if row["type"] == "folder":
        raise ApiError(5023)
    changes: dict[str, Any] = {"modified": now()}
    name = body.get("name", row["name"])
    if name != row["name"]:
        if not is_free(request, row["parent"], name):
            raise ApiError(5003)
        changes["name"] = name
    if "tags" in body or replace:
        changes["tags"] = json.dumps(check_optional_tags(body.get("tags")))
    if "metadata" in body or replace:
        metadata = tree.check_metadata(body.get("metadata") or {})
        kept = {key: value for key, value in metadata.items() if value is not None}
        changes["metadata"] = json.dumps(kept) if replace else tree.merged_metadata(row, metadata)
    request.database.update("files", row["id"], changes)


def check_optional_tags(tags: Any) -> list[str]:
    """Tags, where null stands for none."""
    return [] if tags is None else tree.check_tags(tags)


def is_free(request: ApiRequest, parent: str, name: Any) -> bool:
    """Whether a file's new name is free in its folder; 5024 if it is no file name at all."""
    if not names.is_file_name(name):
        raise ApiError(5024)
    return names.taken_by(request.database, parent, name) is None


def _get_metadata(request: ApiRequest) -> Any:
    return json.loads(path_file(request, "read")["metadata"])


def _merge_metadata(request: ApiRequest) -> Any:
    return _change_metadata(request, replace=False)


def _replace_metadata(request: ApiRequest) -> Any:
    return _change_metadata(request, replace=True)


def _change_metadata(request: ApiRequest, *, replace: bool) -> Any:
    row = path_file(request, "write")
    if row["type"] == "folder":
        raise ApiError(5025)
    metadata = tree.check_metadata(request.object(5006))
    if replace:
        kept = {key: value for key, value in metadata.items() if value is not None}
        text = json.dumps(kept)
    else:
        text = tree.merged_metadata(row, metadata)
    request.database.update("files", row["id"], {"metadata": text, "modified": now()})
    return _get_metadata(request)


def _set_tags(request: ApiRequest) -> Any:
    row = path_file(request, "write")
    if row["type"] == "folder":
        raise ApiError(5027)
    change_details(request, row, {"tags": request.body}, replace=False)
    return request.body


def _download_info(request: ApiRequest) -> Any:
    return {"url": download_url(request.platform, path_content(request), request.username)}


# --- create, copy, move, delete ------------------------------------------------------------------


def _create_folder(request: ApiRequest) -> Any:
    body = request.object(5033)
    if str(body.get("type", "")).lower() != "folder":
        raise ApiError(5012)
    parent = destination(request, body)
    name = body.get("name")
    if not names.is_folder_name(name):
        raise ApiError(5024, "A folder's name has only letters, digits and _ - . in it.")
    existing = names.taken_by(request.database, parent["id"], str(name))
    if existing is not None:
        raise ApiError(5030 if existing["type"] == "folder" else 5003)
    key = tree.add(
        request.database,
        project=parent["project"],
        parent=parent["id"],
        name=str(name),
        content=None,
    )
    return file_document(request, key)


def _copy_file(request: ApiRequest) -> Any:
    row = path_file(request, "copy", COPIES)
    if row["type"] == "folder":
        raise ApiError(5018)
    body = request.object(5033)
    target = destination(request, body)
    name = body.get("name") or row["name"]
    if not names.is_file_name(name):
        raise ApiError(5024)
    return file_document(request, tree.copy_file(request.database, row, target, name))


def _copy_files(request: ApiRequest) -> Any:
    """The old call for several files: one result per id, errors among them."""
    body = request.object(5033)
    keys = body.get("file_ids")
    if not isinstance(keys, list):
        raise ApiError(5033, "file_ids has to be a list.")
    target = destination(request, {"project": body.get("project")})
    results: dict[str, Any] = {}
    for key in keys:
        try:
            row = open_file(request, key, "copy", COPIES)
            if row["type"] == "folder":
                raise ApiError(5018)
        except ApiError as error:
            results[str(key)] = {"status": "ERROR", "message": error.message, "code": error.code}
            continue
        copy = file_document(request, tree.copy_file(request.database, row, target, row["name"]))
        results[key] = {
            "status": "OK",
            "new_file_id": copy["id"],
            "new_file_name": copy["name"],
        }
    return results


def _move_file(request: ApiRequest) -> Any:
    row = path_file(request, "write")
    if row["type"] == "folder":
        raise ApiError(5018)
    body = request.object(5033)
    target = open_folder(request, body.get("parent"), "write")
    if target["project"] != row["project"]:
        raise ApiError(5015)
    name = body.get("name") or row["name"]
    if (target["id"], name) != (row["parent"], row["name"]) and not is_free(
        request, target["id"], name
    ):
        raise ApiError(5003)
    changes = {"parent": target["id"], "name": name, "modified": now()}
    request.database.update("files", row["id"], changes)
    return file_document(request, row["id"])


def _delete_file(request: ApiRequest) -> Reply:
    delete(request, path_file(request, "write"))
    return request.deleted()


def delete(request: ApiRequest, row: sqlite3.Row) -> None:
    """Remove a file or an empty folder."""
    if row["type"] == "folder":
        if row["parent"] is None:
            raise ApiError(5033, "The root folder of a project cannot be deleted.")
        if request.database.one("SELECT 1 FROM files WHERE parent = ? LIMIT 1", row["id"]):
            raise ApiError(5021)
    request.database.run("DELETE FROM files WHERE id = ?", row["id"])
    request.platform.forget_content(row["blob"])


FILE = "/files/{file_id}"

ROUTES: list[Route] = [
    route("/files", {"GET": list_files, "POST": _create_folder}),
    route("/files/scroll", {"GET": scroll_files}),
    route("/action/files/copy", {"POST": _copy_files}),
    route(FILE, {"GET": get_file, "PATCH": _edit_file, "DELETE": _delete_file}),
    route(f"{FILE}/list", {"GET": list_folder}),
    route(f"{FILE}/scroll", {"GET": scroll_folder}),
    route(
        f"{FILE}/metadata",
        {"GET": _get_metadata, "PATCH": _merge_metadata, "PUT": _replace_metadata},
    ),
    route(f"{FILE}/tags", {"PUT": _set_tags}),
    route(f"{FILE}/download_info", {"GET": _download_info}),
    route(f"{FILE}/actions/copy", {"POST": _copy_file}),
    route(f"{FILE}/actions/move", {"POST": _move_file}),
]
