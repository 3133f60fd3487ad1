"""The storage service: signed URLs that take parts of uploads and give out contents.

It stands for the object store that the real platform points clients at. It needs no token, knows
nothing of the API's envelope (its errors are XML), and its URLs expire after a time that is not
documented (switch signed_url_lifetime).
"""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
from pathlib import Path
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cavatica_local.http.responses import expired, xml_error
from cavatica_local.services.contents import SMALL, content_response
from cavatica_local.state import blobs
from cavatica_local.state.permissions import Permission, permissions
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import now


def _signed(platform: Platform, path: str, username: str) -> tuple[str, int]:
    """A signed URL for a path, and when it expires."""
    expires = int(now() + platform.switches.signed_url_lifetime)
    signature = platform.signature(f"{path}?{expires}?{username}")
    query = f"Expires={expires}&User={quote(username, safe='')}&Signature={signature}"
    return f"{platform.settings.base_url}{path}?{query}", expires


def download_url(platform: Platform, row: sqlite3.Row, username: str) -> str:
    """A URL that gives out a file's content for a while."""
    path = f"/storage/files/{row['id']}/{quote(row['name'], safe='')}"
    return _signed(platform, path, username)[0]


def part_url(platform: Platform, upload: str, number: int, username: str) -> tuple[str, int]:
    """A URL that takes one part of an upload for a while, and when it expires."""
    return _signed(platform, f"/storage/uploads/{upload}/{number}", username)


def upload_folder(platform: Platform, upload: str) -> Path:
    """Where the parts of an open upload lie."""
    return platform.settings.root / "uploads" / upload


def _refusal(request: Request) -> Response | None:
    """Why the URL is not (or no longer) good, if so."""
    platform: Platform = request.app.state.platform
    expires = request.query_params.get("Expires", "")
    path = request.scope["raw_path"].decode("latin-1")
    expected = platform.signature(f"{path}?{expires}?{request.query_params.get('User')}")
    if not hmac.compare_digest(expected, request.query_params.get("Signature", "")):
        return xml_error(403, "SignatureDoesNotMatch", "The signature does not match.")
    if int(expires) < now():
        return expired()
    return None


def _may(request: Request, project: str, need: Permission) -> bool:
    """Whether the user who was given the URL still has the permission (a switch)."""
    platform: Platform = request.app.state.platform
    if not platform.switches.signed_url_needs_permission:
        return True
    row = platform.database.one("SELECT * FROM projects WHERE id = ?", project)
    user = request.query_params["User"]
    return row is not None and permissions(platform.database, user, row)[need]


def _denied() -> Response:
    return xml_error(403, "AccessDenied", "Access Denied")


# --- parts ---------------------------------------------------------------------------------------


async def _put_part(request: Request) -> Response:
    if refusal := _refusal(request):
        return refusal
    platform: Platform = request.app.state.platform
    upload, number = request.path_params["upload"], request.path_params["number"]
    folder = upload_folder(platform, upload)
    if not folder.is_dir():
        return xml_error(404, "NoSuchUpload", "The upload does not exist.")
    project = platform.database.value("SELECT project FROM uploads WHERE id = ?", upload)
    if project is not None and not _may(request, project, "write"):
        return _denied()
    # A name of its own for every attempt: two attempts for one part may overlap.
    incoming = folder / f"{number}.{id(request)}.incoming"
    size = 0
    with incoming.open("wb") as stream:
        try:
            async for chunk in request.stream():
                size += stream.write(chunk)
        except ClientDisconnect:
            incoming.unlink()
            return xml_error(400, "IncompleteBody", "The client has gone.")
    expected = request.headers.get("content-length")
    if expected is not None and int(expected) != size:
        incoming.unlink()
        return xml_error(400, "IncompleteBody", "The body is shorter than announced.")
    # The first part may be the whole file, whose SHA-256 is needed; the rest have only an ETag.
    names = ["md5", "sha256"] if number == 1 else ["md5"]
    if size <= SMALL:
        etag, *sha256 = blobs.checksums([incoming], names)
    else:
        etag, *sha256 = await asyncio.to_thread(blobs.checksums, [incoming], names)
    if platform.database.one("SELECT 1 FROM uploads WHERE id = ?", upload) is None:
        incoming.unlink(missing_ok=True)
        return xml_error(404, "NoSuchUpload", "The upload does not exist.")
    incoming.rename(folder / str(number))
    platform.database.run(
        "INSERT OR REPLACE INTO parts (upload, number, etag, sha256, size, reported)"
        " VALUES (?, ?, ?, ?, ?, 0)",
        upload,
        number,
        etag,
        "".join(sha256),
        size,
    )
    return Response(status_code=200, headers={"ETag": f'"{etag}"'})


# --- contents ------------------------------------------------------------------------------------


async def _get_content(request: Request) -> Response:
    if request.method != "GET":
        return xml_error(403, "SignatureDoesNotMatch", "The URL is signed for GET only.")
    if refusal := _refusal(request):
        return refusal
    platform: Platform = request.app.state.platform
    row = platform.database.one("SELECT * FROM files WHERE id = ?", request.path_params["file_id"])
    if row is None or not platform.blobs.exists(row["blob"]):
        return xml_error(404, "NoSuchKey", "The specified key does not exist.")
    if not _may(request, row["project"], "copy"):
        return _denied()
    return content_response(platform, row, request.headers.get("range"))


METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"]

ROUTES: list[Route] = [
    Route("/storage/uploads/{upload}/{number:int}", _put_part, methods=["PUT"]),
    Route("/storage/files/{file_id}/{name}", _get_content, methods=METHODS),
]
