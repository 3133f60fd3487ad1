"""Responses of the API and of the storage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

NO_CONTENT = 204


@dataclass(frozen=True)
class Reply:
    """An answer that is more than a JSON document with status 200."""

    body: Any
    status: int = 200
    headers: dict[str, str] | None = None


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON response; no body at all for None."""
    if content is None:
        return Response(None, status, headers)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # Half a character, which a client can send as an escape, goes back as that very escape.
    body = text.encode("utf-8", "backslashreplace")
    return Response(body, status, headers, media_type="application/json")


def xml_error(status: int, code: str, message: str) -> Response:
    """An error of the storage, which knows nothing of the API's envelope."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Response(declaration + text, status, media_type="application/xml")


def expired() -> Response:
    """How the storage refuses a URL whose time is over."""
    return xml_error(403, "AccessDenied", "Request has expired")
