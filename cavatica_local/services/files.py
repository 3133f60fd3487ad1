"""Files and folders: the calls on single ones, and listings."""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import COPIES, FILES, Codes, Permission, open_project
from cavatica_local.http.call import Call, Reply, route
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.services.signed_urls import download_url
from cavatica_local.state import tree
from cavatica_local.state.platform import Platform, now, timestamp

SHORT = ("href", "id", "name", "project")
FOLDER_SHORT = (*SHORT, "parent", "type")
ORDERS = {"id": "id", "name": "name", "created": "created, id"}


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


def open_file(call: Call, key: Any, need: Permission, codes: Codes = FILES) -> sqlite3.Row:
    """A file or folder by id, if the caller has this permission in its project."""
    if not isinstance(key, str) or not key:
        raise ApiError(5004)
    row = tree.find(call.database, key)
    if row is None:
        raise ApiError(codes.missing)
    open_project(call, row["project"], need, codes)
    return row


def open_folder(call: Call, key: Any, need: Permission, codes: Codes = FILES) -> sqlite3.Row:
    """A folder that something is to be put into or listed."""
    try:
        row = open_file(call, key, need, codes)
    except ApiError as error:
        if error.code == codes.missing:
            raise ApiError(5026) from error
        raise
    if row["type"] != "folder":
        raise ApiError(5022)
    return row


def destination(call: Call, body: dict[str, Any], codes: Codes = FILES) -> sqlite3.Row:
    """The folder named by `parent` or `project` (exactly one of them), which must be writable."""
    parent, project = body.get("parent"), body.get("project")
    if parent is None and project is None:
        raise ApiError(5029)
    if parent is not None and project is not None:
        raise ApiError(5031)
    if parent is not None:
        return open_folder(call, parent, "write", codes)
    row = open_project(call, str(project), "write", Codes(3002, codes.denied))
    return open_folder(call, row["root_folder"], "write", codes)


def _path_file(call: Call, need: Permission, codes: Codes = FILES) -> sqlite3.Row:
    return open_file(call, call.path["file_id"], need, codes)


def _document(call: Call, key: str) -> dict[str, Any]:
    return call.render(file_fields(call.platform), tree.find(call.database, key))


# --- listings ------------------------------------------------------------------------------------


def _listed_folder(call: Call) -> str:
    project, parent = call.query.get("project"), call.query.get("parent")
    if project and parent:
        raise ApiError(5031)
    if parent:
        row = open_file(call, parent, "read")
        if row["type"] != "folder":
            raise ApiError(5022)
        return str(row["id"])
    if project:
        if project.count("/") != 1:
            raise ApiError(3012)
        return str(open_project(call, project, "read", Codes(3002, 3001))["root_folder"])
    raise ApiError(5029)


def _filters(call: Call) -> tuple[str, list[Any]]:
    """Documented filters: the same one several times means or, different ones mean and."""
    where, values = "", []
    for key in dict.fromkeys(call.query.keys()):
        wanted = call.query.getlist(key)
        marks = ", ".join("?" for _ in wanted)
        if key == "name":
            where += f" AND name IN ({marks})"
        elif key == "origin.task":
            where += f" AND origin_task IN ({marks})"
        elif key == "tag":
            tagged = f"SELECT 1 FROM json_each(tags) WHERE value IN ({marks})"  # noqa: S608
            where += f" AND EXISTS ({tagged})"
        elif key.startswith("metadata."):
            where += f" AND json_extract(metadata, ?) IN ({marks})"
            values.append('$."' + key.removeprefix("metadata.").replace('"', "") + '"')
        else:
            continue
        values += wanted
    return where, values


def _list_files(call: Call) -> Reply:
    return _page(call, _listed_folder(call), SHORT)


def _list_folder(call: Call) -> Reply:
    row = _path_file(call, "read")
    if row["type"] != "folder":
        raise ApiError(5022)
    return _page(call, row["id"], FOLDER_SHORT)


def _page(call: Call, parent: str, default: tuple[str, ...]) -> Reply:
    where, values = _filters(call)
    where = f"FROM files WHERE parent = ?{where}"
    page = call.page
    total = call.database.value(f"SELECT count(*) {where}", parent, *values)
    rows = call.database.all(  # the order is one of three constants
        f"SELECT * {where} ORDER BY {ORDERS[call.switches.file_listing_order]} LIMIT ? OFFSET ?",
        parent,
        *values,
        page.limit,
        page.offset,
    )
    fields = file_fields(call.platform)
    return call.listing([call.render(fields, row, default) for row in rows], total)


def _scroll_files(call: Call) -> Reply:
    return _scroll(call, _listed_folder(call), SHORT)


def _scroll_folder(call: Call) -> Reply:
    row = _path_file(call, "read")
    if row["type"] != "folder":
        raise ApiError(5022)
    return _scroll(call, row["id"], FOLDER_SHORT)


def _scroll(call: Call, parent: str, default: tuple[str, ...]) -> Reply:
    """Token pagination: `token=init` starts, the token is part of the `next` link (seen in the
    provider's client, which forbids `offset` and metadata filters with it).
    """
    if "offset" in call.query or any(key.startswith("metadata.") for key in call.query):
        raise ApiError(5033, "Tokens cannot be combined with an offset or metadata filters.")
    where, values = _filters(call)
    where = f"FROM files WHERE parent = ?{where}"
    limit = call.page.limit
    rows = call.database.all(
        f"SELECT * {where} AND id > ? ORDER BY id LIMIT ?",
        parent,
        *values,
        _last_id(call.query.get("token", "")),
        limit + 1,
    )
    total = call.database.value(f"SELECT count(*) {where}", parent, *values)
    links = []
    if len(rows) > limit:
        token = base64.urlsafe_b64encode(rows[limit - 1]["id"].encode()).decode()
        links.append({"href": call.url(token=token), "rel": "next", "method": "GET"})
    fields = file_fields(call.platform)
    items = [call.render(fields, row, default) for row in rows[:limit]]
    headers = {"X-Total-Matching-Query": str(total)}
    return Reply({"href": call.url(), "items": items, "links": links}, headers=headers)


def _last_id(token: str) -> str:
    if token == "init":  # noqa: S105 - a page's token, no secret
        return ""
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ApiError(5033, "The continuation token is not valid.") from error


# --- details -------------------------------------------------------------------------------------


def _get_file(call: Call) -> Any:
    return call.render(file_fields(call.platform), _path_file(call, "read"))


def _edit_file(call: Call) -> Any:
    row = _path_file(call, "write")
    change_details(call, row, call.object(5033), replace=False)
    return _document(call, row["id"])


def change_details(call: Call, row: sqlite3.Row, body: dict[str, Any], *, replace: bool) -> None:
    """Change name, tags and metadata of a file; with `replace`, what is absent is erased."""
    if row["type"] == "folder":
        raise ApiError(5023)
    changes: dict[str, Any] = {"modified": now()}
    name = body.get("name", row["name"])
    if name != row["name"]:
        if not is_free(call, row["parent"], name):
            raise ApiError(5003)
        changes["name"] = name
    if "tags" in body or replace:
        changes["tags"] = json.dumps(check_optional_tags(body.get("tags")))
    if "metadata" in body or replace:
        metadata = tree.check_metadata(body.get("metadata") or {})
        kept = {key: value for key, value in metadata.items() if value is not None}
        changes["metadata"] = json.dumps(kept) if replace else tree.merged_metadata(row, metadata)
    call.database.update("files", row["id"], changes)


def check_optional_tags(tags: Any) -> list[str]:
    """Tags, where null stands for none."""
    return [] if tags is None else tree.check_tags(tags)


def is_free(call: Call, parent: str, name: Any) -> bool:
    """Whether a file's new name is free in its folder; 5024 if it is no file name at all."""
    if not tree.is_file_name(name):
        raise ApiError(5024)
    return tree.child(call.database, parent, name) is None


def _get_metadata(call: Call) -> Any:
    return json.loads(_path_file(call, "read")["metadata"])


def _merge_metadata(call: Call) -> Any:
    return _change_metadata(call, replace=False)


def _replace_metadata(call: Call) -> Any:
    return _change_metadata(call, replace=True)


def _change_metadata(call: Call, *, replace: bool) -> Any:
    row = _path_file(call, "write")
    if row["type"] == "folder":
        raise ApiError(5025)
    metadata = tree.check_metadata(call.object(5006))
    if replace:
        kept = {key: value for key, value in metadata.items() if value is not None}
        text = json.dumps(kept)
    else:
        text = tree.merged_metadata(row, metadata)
    call.database.update("files", row["id"], {"metadata": text, "modified": now()})
    return _get_metadata(call)


def _set_tags(call: Call) -> Any:
    row = _path_file(call, "write")
    if row["type"] == "folder":
        raise ApiError(5027)
    change_details(call, row, {"tags": call.body}, replace=False)
    return call.body


def _download_info(call: Call) -> Any:
    row = _path_file(call, "copy", COPIES)
    if row["type"] == "folder":
        raise ApiError(5017)
    if not call.platform.blobs.exists(row["blob"]):
        # Not 5000, which means that it may be there again: a client would ask for ever.
        raise ApiError(5002, "The file is lost: a task has changed its content. Upload it again.")
    return {"url": download_url(call.platform, row, call.username)}


# --- create, copy, move, delete ------------------------------------------------------------------


def _create_folder(call: Call) -> Any:
    body = call.object(5033)
    if str(body.get("type", "")).lower() != "folder":
        raise ApiError(5012)
    parent = destination(call, body)
    name = body.get("name")
    if not tree.is_folder_name(name):
        raise ApiError(5024, "A folder's name has only letters, digits and _ - . in it.")
    existing = tree.child(call.database, parent["id"], str(name))
    if existing is not None:
        raise ApiError(5030 if existing["type"] == "folder" else 5003)
    key = tree.add(
        call.database, project=parent["project"], parent=parent["id"], name=str(name), content=None
    )
    return _document(call, key)


def _copy_file(call: Call) -> Any:
    row = _path_file(call, "copy", COPIES)
    if row["type"] == "folder":
        raise ApiError(5018)
    body = call.object(5033)
    target = destination(call, body)
    name = body.get("name") or row["name"]
    if not tree.is_file_name(name):
        raise ApiError(5024)
    return _document(call, tree.copy_file(call.database, row, target, name))


def _copy_files(call: Call) -> Any:
    """The old call for several files: one result per id, errors among them."""
    body = call.object(5033)
    keys = body.get("file_ids")
    if not isinstance(keys, list):
        raise ApiError(5033, "file_ids has to be a list.")
    target = destination(call, {"project": body.get("project")})
    results: dict[str, Any] = {}
    for key in keys:
        try:
            row = open_file(call, key, "copy", COPIES)
            if row["type"] == "folder":
                raise ApiError(5018)
        except ApiError as error:
            results[str(key)] = {"status": "ERROR", "message": error.message, "code": error.code}
            continue
        copy = _document(call, tree.copy_file(call.database, row, target, row["name"]))
        results[key] = {
            "status": "OK",
            "new_file_id": copy["id"],
            "new_file_name": copy["name"],
        }
    return results


def _move_file(call: Call) -> Any:
    row = _path_file(call, "write")
    if row["type"] == "folder":
        raise ApiError(5018)
    body = call.object(5033)
    target = open_folder(call, body.get("parent"), "write")
    if target["project"] != row["project"]:
        raise ApiError(5015)
    name = body.get("name") or row["name"]
    if (target["id"], name) != (row["parent"], row["name"]) and not is_free(
        call, target["id"], name
    ):
        raise ApiError(5003)
    changes = {"parent": target["id"], "name": name, "modified": now()}
    call.database.update("files", row["id"], changes)
    return _document(call, row["id"])


def _delete_file(call: Call) -> Reply:
    delete(call, _path_file(call, "write"))
    return call.deleted()


def delete(call: Call, row: sqlite3.Row) -> None:
    """Remove a file or an empty folder."""
    if row["type"] == "folder":
        if row["parent"] is None:
            raise ApiError(5033, "The root folder of a project cannot be deleted.")
        if call.database.one("SELECT 1 FROM files WHERE parent = ? LIMIT 1", row["id"]):
            raise ApiError(5021)
    call.database.run("DELETE FROM files WHERE id = ?", row["id"])
    call.platform.forget_content(row["blob"])


FILE = "/files/{file_id}"

ROUTES: list[Route] = [
    route("/files", {"GET": _list_files, "POST": _create_folder}),
    route("/files/scroll", {"GET": _scroll_files}),
    route("/action/files/copy", {"POST": _copy_files}),
    route(FILE, {"GET": _get_file, "PATCH": _edit_file, "DELETE": _delete_file}),
    route(f"{FILE}/list", {"GET": _list_folder}),
    route(f"{FILE}/scroll", {"GET": _scroll_folder}),
    route(
        f"{FILE}/metadata",
        {"GET": _get_metadata, "PATCH": _merge_metadata, "PUT": _replace_metadata},
    ),
    route(f"{FILE}/tags", {"PUT": _set_tags}),
    route(f"{FILE}/download_info", {"GET": _download_info}),
    route(f"{FILE}/actions/copy", {"POST": _copy_file}),
    route(f"{FILE}/actions/move", {"POST": _move_file}),
]
