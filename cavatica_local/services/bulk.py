"""Several files in one call: the bulk calls, answered at once, and the async jobs.

Only known from the provider's client. An async job keeps the structure of folders, may rename what
it copies or moves, and ends with one result per item. A job that was interrupted by the end of the
server is FINISHED at the next start; items that it had not reached are errors in its result.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import Codes
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.services.file_places import destination, file_fields, open_file
from cavatica_local.services.files import change_details, delete
from cavatica_local.state import names, tree
from cavatica_local.state.blobs import Content
from cavatica_local.state.database import Database
from cavatica_local.state.ids import new_uuid
from cavatica_local.state.permissions import Permission
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import now, timestamp

_JOB_CODES = Codes(57433, 57432)
_OF_FILES = "FROM jobs WHERE username = ? AND type IN ('COPY', 'MOVE', 'DELETE')"
"""A user's jobs, but imports, which have calls of their own."""
_COUNT = f"SELECT count(*) {_OF_FILES}"
_LIST = f"SELECT * {_OF_FILES} ORDER BY started DESC, id LIMIT ? OFFSET ?"

# --- bulk calls ----------------------------------------------------------------------------------


def _bulk(request: ApiRequest, items: Any, name: str, work: Callable[[Any], Any]) -> dict[str, Any]:
    """Do something for each item; one result or error per item."""
    maximum = request.switches.bulk_max_items
    if not isinstance(items, list) or not items or len(items) > maximum:
        raise ApiError(5033, f"{name} is a list of 1 to {maximum} items.")
    results: list[dict[str, Any]] = []
    for item in items:
        try:
            results.append({"resource": work(item)})
        except ApiError as error:
            results.append({"error": error.envelope()})
    return {"items": results}


def _bulk_get(request: ApiRequest) -> Any:
    fields = file_fields(request.platform)
    keys = request.object(5033).get("file_ids")
    return _bulk(
        request,
        keys,
        "file_ids",
        lambda key: request.render(fields, open_file(request, key, "read")),
    )


def _bulk_delete(request: ApiRequest) -> Any:
    fields = file_fields(request.platform)

    def remove(key: Any) -> dict[str, Any]:
        row = open_file(request, key, "write")
        delete(request, row)
        return request.render(fields, row)

    return _bulk(request, request.object(5033).get("file_ids"), "file_ids", remove)


def _bulk_update(request: ApiRequest) -> Any:
    return _bulk_change(request, replace=True)


def _bulk_edit(request: ApiRequest) -> Any:
    return _bulk_change(request, replace=False)


def _bulk_change(request: ApiRequest, *, replace: bool) -> Any:
    fields = file_fields(request.platform)

    def change(item: Any) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise ApiError(5033)
        row = open_file(request, item.get("id"), "write")
        body = {key: value for key, value in item.items() if replace or value is not None}
        change_details(request, row, body, replace=replace)
        return request.render(fields, tree.find(request.database, row["id"]))

    return _bulk(request, request.object(5033).get("items"), "items", change)


# --- async jobs ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """One thing to do: a source, and where it shall be under which name."""

    source: sqlite3.Row
    target: sqlite3.Row | None = None
    name: str = ""


def _submit(request: ApiRequest, kind: str) -> Any:
    items = request.object(57430).get("items")
    maximum = request.switches.async_max_items
    if not isinstance(items, list) or not items or len(items) > maximum:
        raise ApiError(57430, f"items is a list of 1 to {maximum} objects.")
    if not all(isinstance(item, dict) and isinstance(item.get("file"), str) for item in items):
        raise ApiError(57430, "Every item names a file.")
    sources = [item["file"] for item in items]
    if len(set(sources)) < len(sources):
        raise ApiError(57005)
    identifier = new_uuid()
    job = {
        "id": identifier,
        "username": request.username,
        "type": kind,
        "state": "SUBMITTED",
        "items": json.dumps(items),
        "result": "[]",
        "total": 0,
        "failed": 0,
        "completed": 0,
        "started": now(),
        "finished": None,
    }
    request.database.insert("jobs", job)
    request.platform.in_background(_Worker(request, identifier, kind, items).run())
    return request.render(_job_fields(request.platform), job)


class _Worker:
    """Does an async job, a bit at a time, so that other requests have their turn."""

    def __init__(
        self, request: ApiRequest, job: str, kind: str, items: list[dict[str, Any]]
    ) -> None:
        self._request = request
        self._database: Database = request.database
        self._job = job
        self._items = items
        self._kind = kind
        self._work = {"COPY": self._copy, "MOVE": self._move, "DELETE": self._delete}[kind]
        self._fields = file_fields(request.platform)

    async def run(self) -> None:
        delay = self._request.switches.async_delay
        await asyncio.sleep(delay / 2)
        self._note(state="RESOLVING")
        await asyncio.sleep(delay / 2)
        self._note(state="RUNNING", total=sum(map(self._size, self._items)))
        results: list[dict[str, Any]] = []
        failed = completed = 0
        for item in self._items:
            size = self._size(item)
            try:
                with self._database.transaction():
                    results.append({"resource": self._work(self._resolve(item))})
                completed += size
            except ApiError as error:
                results.append({"error": error.envelope()})
                failed += size
            self._note(result=json.dumps(results), failed=failed, completed=completed)
            await asyncio.sleep(0)
        self._note(state="FINISHED", finished=now())

    def _note(self, **changes: Any) -> None:
        self._database.update("jobs", self._job, changes)

    def _size(self, item: dict[str, Any]) -> int:
        """How many files an item stands for."""
        row = tree.find(self._database, item["file"])
        return 1 if row is None else sum(1 for _ in tree.walk(self._database, row))

    def _resolve(self, item: dict[str, Any]) -> Item:
        """Look up an item and check it, now that its turn has come."""
        need: Permission = "copy" if self._kind == "COPY" else "write"
        source = open_file(self._request, item["file"], need, _JOB_CODES)
        if source["parent"] is None:
            raise ApiError(57430, "This cannot be copied, moved or deleted.")
        if self._kind == "DELETE":
            return Item(source)
        target = destination(self._request, item, _JOB_CODES)
        if self._kind == "MOVE" and target["project"] != source["project"]:
            raise ApiError(5015)
        name = item.get("name") or source["name"]
        if source["type"] == "folder":
            if not names.is_folder_name(name):
                raise ApiError(57019)
            self._refuse_own_subfolder(source, target)
        elif not names.is_file_name(name):
            raise ApiError(57018)
        return Item(source, target, name)

    def _refuse_own_subfolder(self, source: sqlite3.Row, target: sqlite3.Row) -> None:
        current: sqlite3.Row | None = target
        while current is not None:
            if current["id"] == source["id"]:
                raise ApiError(57011)
            current = tree.find(self._database, current["parent"]) if current["parent"] else None

    def _shown(self, key: str) -> dict[str, Any]:
        return {
            name: compute(tree.find(self._database, key)) for name, compute in self._fields.items()
        }

    def _copy(self, item: Item) -> dict[str, Any]:
        if item.target is None:
            raise ApiError(57430)
        return self._shown(self._copy_tree(item.source, item.target, item.name))

    def _copy_tree(self, source: sqlite3.Row, target: sqlite3.Row, name: str) -> str:
        if source["type"] != "folder":
            return tree.copy_file(self._database, source, target, name)
        folder_id = tree.add(
            self._database,
            project=target["project"],
            parent=target["id"],
            name=names.free_name(self._database, target["id"], name),
            content=None,
        )
        self._copy_contents(source["id"], folder_id, target["project"])
        return folder_id

    def _copy_contents(self, source: str, target: str, project: str) -> None:
        """Names cannot clash in a new folder, so contents are added directly."""
        for row in tree.children(self._database, source):
            is_folder = row["type"] == "folder"
            key = tree.add(
                self._database,
                project=project,
                parent=target,
                name=row["name"],
                content=None if is_folder else Content(row["blob"], row["size"]),
                metadata=row["metadata"],
                tags=row["tags"],
            )
            if is_folder:
                self._copy_contents(row["id"], key, project)

    def _move(self, item: Item) -> dict[str, Any]:
        if item.target is None:
            raise ApiError(57430)
        source, target, name = item.source, item.target, item.name
        if (source["parent"], source["name"]) == (target["id"], name):
            raise ApiError(57009)
        if names.taken_by(self._database, target["id"], name) is not None:
            raise ApiError(57434)
        changes = {"parent": target["id"], "name": name, "modified": now()}
        self._database.update("files", source["id"], changes)
        return self._shown(source["id"])

    def _delete(self, item: Item) -> dict[str, Any]:
        shown = self._shown(item.source["id"])
        for row in list(tree.walk(self._database, item.source)):
            self._database.run("DELETE FROM files WHERE id = ?", row["id"])
            self._request.platform.forget_content(row["blob"])
        return shown


def _job_fields(platform: Platform) -> dict[str, Callable[[Any], Any]]:
    api = platform.settings.api
    return {
        "href": lambda row: f"{api}/async/files/{row['type'].lower()}/{row['id']}",
        "id": lambda row: row["id"],
        "type": lambda row: row["type"],
        "state": lambda row: row["state"],
        "result": lambda row: json.loads(row["result"]),
        "total_files": lambda row: row["total"],
        "failed_files": lambda row: row["failed"],
        "completed_files": lambda row: row["completed"],
        "started_on": lambda row: timestamp(row["started"]),
        "finished_on": lambda row: timestamp(row["finished"]),
    }


def _get_job(request: ApiRequest, kind: str) -> Any:
    row = request.database.one(
        "SELECT * FROM jobs WHERE id = ? AND username = ? AND type = ?",
        request.path["job"],
        request.username,
        kind,
    )
    if row is None:
        raise ApiError(57039)
    return request.render(_job_fields(request.platform), row)


def _list_jobs(request: ApiRequest) -> Reply:
    page = request.page
    total = request.database.value(_COUNT, request.username)
    rows = request.database.all(
        _LIST,
        request.username,
        page.limit,
        page.offset,
    )
    fields = _job_fields(request.platform)
    return request.listing([request.render(fields, row) for row in rows], total)


def finish_interrupted(platform: Platform) -> None:
    """End the jobs that an earlier run of the server did not finish."""
    for row in platform.database.all("SELECT * FROM jobs WHERE state != 'FINISHED'"):
        results, items = json.loads(row["result"]), json.loads(row["items"])
        interrupted = ApiError(90004, "The job was interrupted.").envelope()
        results += [{"error": interrupted}] * (len(items) - len(results))
        changes = {"state": "FINISHED", "result": json.dumps(results), "finished": now()}
        platform.database.update("jobs", row["id"], changes)


def _routes(kind: str) -> list[Route]:
    base = f"/async/files/{kind.lower()}"
    return [
        route(base, {"POST": lambda request: _submit(request, kind)}),
        route(f"{base}/{{job}}", {"GET": lambda request: _get_job(request, kind)}),
    ]


ROUTES: list[Route] = [
    route("/bulk/files/get", {"POST": _bulk_get}),
    route("/bulk/files/delete", {"POST": _bulk_delete}),
    route("/bulk/files/update", {"POST": _bulk_update}),
    route("/bulk/files/edit", {"POST": _bulk_edit}),
    route("/async/files", {"GET": _list_jobs}),
    *_routes("COPY"),
    *_routes("MOVE"),
    *_routes("DELETE"),
]
