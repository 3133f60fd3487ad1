"""Multipart uploads: initialise, get part URLs, report parts, complete."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.access import UPLOADS, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.services.file_places import destination, file_fields
from cavatica_local.services.signed_urls import part_url, upload_folder
from cavatica_local.state import names, tree
from cavatica_local.state.blobs import Content, checksums
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import now, timestamp

PART_DEFAULT = 32 << 20
PART_MINIMUM = 5 << 20
PART_MAXIMUM = 5 << 30
PARTS_MAXIMUM = 10_000
SIZE_MAXIMUM = 5 << 40
"""The limits that the provider's clients know."""


def _upload(request: ApiRequest) -> sqlite3.Row:
    """An open upload of the caller, who must still be allowed to write there."""
    oldest = now() - request.switches.upload_lifetime
    row = request.database.one(
        "SELECT * FROM uploads WHERE id = ? AND username = ? AND initiated > ?",
        request.path["upload"],
        request.username,
        oldest,
    )
    if row is None:
        raise ApiError(8003)
    open_project(request, row["project"], "write", UPLOADS)
    return row


def _forget(platform: Platform, upload: str) -> None:
    platform.database.run("DELETE FROM uploads WHERE id = ?", upload)
    platform.database.run("DELETE FROM parts WHERE upload = ?", upload)
    shutil.rmtree(upload_folder(platform, upload), ignore_errors=True)


# --- initialise ----------------------------------------------------------------------------------


def _initialise(request: ApiRequest) -> Any:
    body = request.object(8013)
    target = destination(request, body, UPLOADS)
    name = body.get("name")
    if not names.is_file_name(name):
        raise ApiError(5024)
    overwrite = bool(request.flag("overwrite"))
    existing = names.taken_by(request.database, target["id"], str(name))
    if existing is not None and (not overwrite or existing["type"] == "folder"):
        raise ApiError(8005)
    _check_other_uploads(request, target["id"], str(name), overwrite=overwrite)
    size = _optional_integer(body, "size", SIZE_MAXIMUM)
    part_size = _part_size(_optional_integer(body, "part_size", SIZE_MAXIMUM), size)
    row = {
        "id": secrets.token_urlsafe(48),
        "username": request.username,
        "project": target["project"],
        "parent": target["id"],
        "name": name,
        "size": size,
        "part_size": part_size,
        "md5": _optional_md5(body),
        "overwrite": overwrite,
        "initiated": now(),
    }
    request.database.insert("uploads", row)
    upload_folder(request.platform, str(row["id"])).mkdir(parents=True)
    return {
        "upload_id": row["id"],
        "part_size": part_size,
        "parallel_uploads": True,
        "name": name,
        "project": target["project"],
        "size": size,
    }


def _check_other_uploads(request: ApiRequest, parent: str, name: str, *, overwrite: bool) -> None:
    """A second open upload of a name: 8006 is documented, when it happens is not."""
    if overwrite or not request.switches.upload_same_name_conflict:
        return
    if request.database.one(
        "SELECT 1 FROM uploads WHERE parent = ? AND name = ? AND initiated > ?",
        parent,
        name,
        now() - request.switches.upload_lifetime,
    ):
        raise ApiError(8006)


def _optional_integer(body: dict[str, Any], key: str, maximum: int) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise ApiError(8013, f"{key} has to be an integer up to {maximum}.")
    return value


def _optional_md5(body: dict[str, Any]) -> str | None:
    md5 = body.get("md5")
    if md5 is None:
        return None
    if not isinstance(md5, str) or not re.fullmatch("[0-9a-fA-F]{32}", md5):
        raise ApiError(8013, "md5 has to be 32 hexadecimal digits.")
    return md5.lower()


def _part_size(wanted: int | None, size: int | None) -> int:
    """The server may change what the client wishes (documented); it keeps within 10,000 parts."""
    part_size = min(max(wanted or PART_DEFAULT, PART_MINIMUM), PART_MAXIMUM)
    while size is not None and part_size * PARTS_MAXIMUM < size:
        part_size *= 2
    return part_size


# --- parts ---------------------------------------------------------------------------------------


def _get_part(request: ApiRequest) -> Any:
    row = _upload(request)
    text = request.path["number"]
    if not text.isdecimal() or not 1 <= int(text) <= PARTS_MAXIMUM:
        raise ApiError(8012)
    url, expires = part_url(request.platform, row["id"], int(text), request.username)
    return {
        "method": "PUT",
        "url": url,
        "expires": timestamp(expires),
        "headers": {},
        "report": {"success_codes": [200], "headers": ["ETag"]},
    }


def _report_part(request: ApiRequest) -> Any:
    row = _upload(request)
    _report(request, row["id"], request.body)
    return request.body


def _report_parts(request: ApiRequest) -> Any:
    row = _upload(request)
    _report_all(request, row["id"], request.object(8015).get("parts"))
    return request.body


def _report_all(request: ApiRequest, upload: str, parts: Any) -> None:
    if not isinstance(parts, list):
        raise ApiError(8015)
    for part in parts:
        _report(request, upload, part)


def _report(request: ApiRequest, upload: str, report: Any) -> None:
    try:
        number = report["part_number"]
        headers = {name.lower(): text for name, text in report["response"]["headers"].items()}
        etag = headers["etag"].strip('"')
    except (TypeError, KeyError, AttributeError) as error:
        raise ApiError(8014) from error
    changed = request.database.run(
        "UPDATE parts SET reported = 1 WHERE upload = ? AND number = ? AND etag = ?",
        upload,
        number,
        etag,
    )
    if not changed:
        raise ApiError(8014, f"Part {number} was not uploaded with the ETag '{etag}'.")


# --- inspect and abort ---------------------------------------------------------------------------


def _list_uploads(request: ApiRequest) -> Reply:
    rows = request.database.all(
        "SELECT * FROM uploads WHERE username = ? AND initiated > ? ORDER BY initiated, id",
        request.username,
        now() - request.switches.upload_lifetime,
    )
    page = request.page
    items = [
        {
            "href": f"{request.platform.settings.api}/upload/multipart/{row['id']}",
            "upload_id": row["id"],
            "project": row["project"],
            "name": row["name"],
            "initiated": timestamp(row["initiated"]),
        }
        for row in rows[page.offset : page.offset + page.limit]
    ]
    return request.listing(items, len(rows))


def _get_upload(request: ApiRequest) -> Any:
    row = _upload(request)
    parts = request.database.all(
        "SELECT * FROM parts WHERE upload = ? AND reported ORDER BY number", row["id"]
    )
    document = {
        "upload_id": row["id"],
        "project": row["project"],
        "name": row["name"],
        "initiated": timestamp(row["initiated"]),
        "parallel_uploads": True,
        "part_size": row["part_size"],
        "uploaded_parts_count": len(parts),
    }
    if request.flag("list_parts"):
        document["parts"] = [
            {"part_number": part["number"], "response": {"headers": {"ETag": part["etag"]}}}
            for part in parts
        ]
    return document


def _abort(request: ApiRequest) -> Reply:
    _forget(request.platform, _upload(request)["id"])
    return request.deleted()


# --- complete ------------------------------------------------------------------------------------


async def _complete(request: ApiRequest) -> Any:
    row = _upload(request)
    if request.body:
        parts = request.body.get("parts") if isinstance(request.body, dict) else request.body
        _report_all(request, row["id"], parts)
    parts = _checked_parts(request, row)
    assembled = await _assemble(request.platform, row, parts)
    try:
        with request.database.transaction():
            key = _store(request, row, assembled)
            _forget(request.platform, row["id"])
    finally:
        request.platform.release_contents([assembled.blob])
    return _completed(request, key)


def _checked_parts(request: ApiRequest, row: sqlite3.Row) -> list[sqlite3.Row]:
    parts = request.database.all(
        "SELECT * FROM parts WHERE upload = ? AND reported ORDER BY number", row["id"]
    )
    if not parts or [part["number"] for part in parts] != list(range(1, len(parts) + 1)):
        raise ApiError(8007, "The parts are not reported completely.")
    if any(part["size"] < PART_MINIMUM for part in parts[:-1]):
        raise ApiError(8007, "Every part but the last needs at least 5 MiB.")
    size = sum(part["size"] for part in parts)
    if request.switches.upload_size_checked and row["size"] not in (None, size):
        raise ApiError(8007, f"The parts have {size} bytes, {row['size']} were announced.")
    return parts


async def _assemble(platform: Platform, row: sqlite3.Row, parts: list[sqlite3.Row]) -> Content:
    folder = upload_folder(platform, row["id"])
    announced = row["md5"] if platform.switches.upload_md5_checked else None
    if len(parts) == 1:
        source, sha256, md5 = folder / "1", parts[0]["sha256"], parts[0]["etag"]
    else:
        source = folder / "assembled"
        paths = [folder / str(part["number"]) for part in parts]
        names = ["sha256", "md5"] if announced else ["sha256"]
        sha256, *rest = await asyncio.to_thread(checksums, paths, names, whole=source)
        md5 = rest[0] if rest else None
    if announced not in (None, md5):
        raise ApiError(8007, f"The content has the MD5 {md5}, {announced} was announced.")
    return platform.blobs.adopt(source, sha256)


def _store(request: ApiRequest, row: sqlite3.Row, content: Content) -> str:
    """Make the file appear; the name may have been taken while the parts were on their way."""
    existing = names.taken_by(request.database, row["parent"], row["name"])
    if existing is not None:
        if not row["overwrite"] or existing["type"] == "folder":
            raise ApiError(8005)
        request.platform.forget_content(existing["blob"])
        if request.switches.overwrite_keeps_id:
            changes = {"blob": content.blob, "size": content.size, "modified": now()}
            request.database.update("files", existing["id"], changes)
            return str(existing["id"])
        request.database.run("DELETE FROM files WHERE id = ?", existing["id"])
    return tree.add(
        request.database,
        project=row["project"],
        parent=row["parent"],
        name=row["name"],
        content=content,
    )


def _completed(request: ApiRequest, key: str) -> dict[str, Any]:
    row = tree.find(request.database, key)
    document = request.render(file_fields(request.platform), row)
    uuid = request.database.value("SELECT uuid FROM projects WHERE id = ?", document["project"])
    return {
        **{name: document[name] for name in ("href", "id", "project", "name", "size")},
        "path": f"/Projects/{uuid}/{document['name']}",
        "type": "file",
        "created_on": document["created_on"],
        "modified_on": document["modified_on"],
    }


UPLOAD = "/upload/multipart/{upload}"

ROUTES: list[Route] = [
    route("/upload/multipart", {"GET": _list_uploads, "POST": _initialise}),
    route(UPLOAD, {"GET": _get_upload, "POST": _report_parts, "DELETE": _abort}),
    route(f"{UPLOAD}/part", {"POST": _report_part}),
    route(f"{UPLOAD}/part/{{number}}", {"GET": _get_part}),
    route(f"{UPLOAD}/complete", {"POST": _complete}),
]
