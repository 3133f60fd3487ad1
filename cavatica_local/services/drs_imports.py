"""Imports of DRS objects: only known from the provider's client.

An import is a background job, like those that copy and move files, and tells of each item a file or
an error, in their order.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.routes import route
from cavatica_local.services.file_places import destination, file_fields
from cavatica_local.services.files import check_optional_tags
from cavatica_local.state import names, tree
from cavatica_local.state.blobs import Content
from cavatica_local.state.drs import DrsError, bring
from cavatica_local.state.ids import new_uuid
from cavatica_local.state.times import now, timestamp

KIND = "DRS"
CONFLICTS = ("SKIP", "OVERWRITE", "RENAME")
_KEYS = {"drs_uri", "name", "project", "parent", "metadata"}
_CODES = {400: 57430, 401: 57432, 403: 57432, 404: 57433}


def _create(request: ApiRequest) -> Any:
    body = request.object(57430)
    conflict = body.get("conflict_resolution", "SKIP")
    if conflict not in CONFLICTS:
        raise ApiError(57430, f"conflict_resolution is one of {', '.join(CONFLICTS)}.")
    tags = check_optional_tags(body.get("tags"))
    items, maximum = body.get("items"), request.switches.bulk_max_items
    if not isinstance(items, list) or not items or len(items) > maximum:
        raise ApiError(57430, f"items is a list of 1 to {maximum} objects.")
    for item in items:
        _check(item)
    row = {
        "id": new_uuid(),
        "username": request.username,
        "type": KIND,
        "state": "SUBMITTED",
        "items": json.dumps(items),
        "result": "[]",
        "total": len(items),
        "failed": 0,
        "completed": 0,
        "started": now(),
        "finished": None,
    }
    request.database.insert("jobs", row)
    worker = _Worker(request, str(row["id"]), conflict, json.dumps(tags))
    request.platform.in_background(worker.run(items))
    return _shown(request, row)


def _check(item: Any) -> None:
    """The shape of one item."""
    if not isinstance(item, dict) or set(item) - _KEYS:
        raise ApiError(57430, f"Every item is an object of {', '.join(sorted(_KEYS))}.")
    if not isinstance(item.get("drs_uri"), str) or not item["drs_uri"].startswith("drs://"):
        raise ApiError(57430, "Every item has a drs_uri.")
    if (item.get("project") is None) == (item.get("parent") is None):
        raise ApiError(57430, "Every item has either a project or a parent.")
    if item.get("name") is not None and not names.is_file_name(item["name"]):
        raise ApiError(57018)
    tree.check_metadata(item.get("metadata") or {})


class _Worker:
    """Does one import, object by object, while other requests have their turn."""

    def __init__(self, request: ApiRequest, job: str, conflict: str, tags: str) -> None:
        self._request = request
        self._database = request.database
        self._job = job
        self._conflict = conflict
        self._tags = tags
        self._fields = file_fields(request.platform)

    async def run(self, items: list[dict[str, Any]]) -> None:
        await asyncio.sleep(self._request.switches.async_delay)
        self._note(state="RUNNING")
        results: list[dict[str, Any]] = []
        for item in items:
            results.append(await self._result(item))
            failed = sum("error" in result for result in results)
            self._note(result=json.dumps(results), failed=failed, completed=len(results) - failed)
        self._note(state="FINISHED", finished=now())

    def _note(self, **changes: Any) -> None:
        self._database.update("jobs", self._job, changes)

    async def _result(self, item: dict[str, Any]) -> dict[str, Any]:
        try:
            key = await self._import(item)
        except ApiError as error:
            return {"error": error.envelope()}
        except (DrsError, OSError) as error:
            # What the platform says of a server that fails is not documented.
            status = error.status if isinstance(error, DrsError) else 500
            envelope = ApiError(_CODES.get(status, 90004), str(error)).envelope()
            return {"error": {**envelope, "status": status}}
        row = tree.find(self._database, key)
        return {"resource": {name: compute(row) for name, compute in self._fields.items()}}

    async def _import(self, item: dict[str, Any]) -> str:
        target = destination(self._request, item)
        taken = (
            names.taken_by(self._database, target["id"], item["name"]) if "name" in item else None
        )
        if taken is not None and self._conflict == "SKIP":
            return self._skipped(taken)
        folder = self._request.platform.settings.root / "uploads"
        folder.mkdir(exist_ok=True)
        incoming = folder / f"drs-{secrets.token_hex(16)}"
        try:
            found = await asyncio.to_thread(bring, item["drs_uri"], incoming)
            content = await asyncio.to_thread(self._request.platform.blobs.adopt, incoming)
        finally:
            incoming.unlink(missing_ok=True)
        try:
            with self._database.transaction():
                return self._store(item, target, content, item.get("name") or found.name)
        finally:
            self._request.platform.release_contents([content.blob])

    def _store(self, item: dict[str, Any], target: sqlite3.Row, content: Content, name: str) -> str:
        taken = names.taken_by(self._database, target["id"], name)
        if taken is not None and (self._conflict == "SKIP" or taken["type"] == "folder"):
            return self._skipped(taken)
        if taken is not None and self._conflict == "OVERWRITE":
            self._database.run("DELETE FROM files WHERE id = ?", taken["id"])
            self._request.platform.forget_content(taken["blob"])
        kept = {key: value for key, value in (item.get("metadata") or {}).items() if value}
        return tree.add(
            self._database,
            project=target["project"],
            parent=target["id"],
            name=names.free_name(self._database, target["id"], name),
            content=content,
            metadata=json.dumps(kept),
            tags=self._tags,
        )

    def _skipped(self, taken: sqlite3.Row) -> str:
        """What is told of a name that is taken is not documented (a switch)."""
        if self._request.switches.drs_import_skipped == "error" or taken["type"] == "folder":
            raise ApiError(57434)
        return str(taken["id"])


def _get(request: ApiRequest) -> Any:
    row = request.database.one(
        "SELECT * FROM jobs WHERE id = ? AND username = ? AND type = ?",
        request.path["job"],
        request.username,
        KIND,
    )
    if row is None:
        raise ApiError(57039)
    return _shown(request, row)


def _shown(request: ApiRequest, row: Any) -> Any:
    api = request.platform.settings.api
    return request.render(
        {
            "href": lambda row: f"{api}/bulk/drs/imports/{row['id']}",
            "id": lambda row: row["id"],
            "state": lambda row: row["state"],
            "result": lambda row: json.loads(row["result"]),
            "total_files": lambda row: row["total"],
            "failed_files": lambda row: row["failed"],
            "completed_files": lambda row: row["completed"],
            "started_on": lambda row: timestamp(row["started"]),
            "finished_on": lambda row: timestamp(row["finished"]),
        },
        row,
    )


ROUTES: list[Route] = [
    route("/bulk/drs/imports/create", {"POST": _create}),
    route("/bulk/drs/imports/{job}", {"GET": _get}),
]
