"""What of a file's content a page shows."""

from __future__ import annotations

from dataclasses import dataclass

from cavatica_local.errors import ApiError
from cavatica_local.pages.visit import Visit
from cavatica_local.services.file_places import path_content

_MOST_BYTES = 200_000
"""Of a text that is shown; of a longer log, so many at its end."""


@dataclass(frozen=True)
class Content:
    """A text, or why none is shown."""

    text: str = ""
    obstacle: str = ""
    is_cut: bool = False
    """Whether only the end is shown."""
    is_there: bool = True
    """Whether it can be downloaded."""


def content_of(visit: Visit, file_id: str, *, end: bool = False) -> Content:
    """A file's content, or with `end` at least the end of it, if this user may read it."""
    try:
        row = visit.ask(path_content, {"file_id": file_id})
    except ApiError as error:
        return Content(obstacle=error.message, is_there=False)
    is_cut = row["size"] > _MOST_BYTES
    if is_cut and not end:
        return Content(obstacle="It is too large to be shown here.")
    with visit.platform.blobs.path(row["blob"]).open("rb") as stream:
        stream.seek(max(0, row["size"] - _MOST_BYTES))
        content = stream.read()
    if is_cut:
        content = content.partition(b"\n")[2] or content
    if b"\0" in content:
        return Content(obstacle="It is no text.")
    try:
        # A log is text, whatever else a tool has written into it.
        return Content(content.decode("utf-8", "replace" if end else "strict"), is_cut=is_cut)
    except UnicodeDecodeError:
        return Content(obstacle="It is no text.")
