"""The content of a file as the answer to a request for it."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from cavatica_local.state import blobs
from cavatica_local.state.platform import Platform

SMALL = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


def content_response(platform: Platform, row: sqlite3.Row, asked: str | None) -> Response:
    """A file's content, or the range of it that was asked for."""
    size = row["size"]
    try:
        wanted = _range(asked, size)
    except ValueError:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    start, end = wanted or (0, size)
    headers = {
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "ETag": f'"{row["blob"][:32]}"',
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row['name'], safe='')}",
    }
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    content = _read(platform.blobs.path(row["blob"]), start, end)
    status = 206 if wanted else 200
    return StreamingResponse(content, status, headers, media_type="application/octet-stream")


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end of a single range; None: everything. ValueError: nothing of it exists."""
    match = _RANGE.match(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        raise ValueError(header)
    return start, end


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        read: Callable[[int], bytes] = stream.read
        while start < end:
            length = min(blobs.CHUNK, end - start)
            # Small contents are quicker to read than to hand to a thread.
            chunk = read(length) if end <= SMALL else await asyncio.to_thread(read, length)
            if not chunk:
                raise OSError(f"{path} is shorter than recorded")
            start += len(chunk)
            yield chunk
