"""Objects of GA4GH DRS servers (version 1 of the standard), brought here.

The platform only links them; here their bytes are stored, by this process and nobody else. What
blocks here runs in threads.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

_TIMEOUT = 60.0
_URI = re.compile(r"drs://(?P<host>[^/\s]+)/(?P<id>[^\s]+)")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CHECKSUMS = {"md5": "md5", "sha-1": "sha1", "sha-256": "sha256", "sha-512": "sha512"}
"""Those of the standard's registry that are compared, by their names in Python."""


class DrsError(Exception):
    """An object cannot be had; `status` is as in HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class DrsObject:
    """What a server tells of an object."""

    name: str
    size: int
    checksums: dict[str, str]
    url: str
    headers: dict[str, str]


def bring(uri: str, target: Path) -> DrsObject:
    """Have an object's bytes at `target`; DrsError if that does not work."""
    found = look_up(uri)
    request = urllib.request.Request(found.url, headers=found.headers)  # noqa: S310 - checked
    with _open(request) as answer, target.open("wb") as stream:
        shutil.copyfileobj(answer, stream, 1 << 20)
    if target.stat().st_size != found.size:
        raise DrsError(502, f"The object has {found.size} bytes, {target.stat().st_size} arrived.")
    for kind, wanted in found.checksums.items():
        with target.open("rb") as stream:
            arrived = hashlib.file_digest(stream, _CHECKSUMS[kind]).hexdigest()
        if arrived != wanted.lower():
            raise DrsError(502, f"The object's {kind} is {wanted}, what arrived has {arrived}.")
    return found


def look_up(uri: str) -> DrsObject:
    """Ask the server of an object where its bytes are."""
    form = _URI.fullmatch(uri)
    if form is None:
        raise DrsError(400, f"'{uri}' is no DRS URI of a host; compact identifiers are not known.")
    base = f"{_scheme(form['host'])}://{form['host']}/ga4gh/drs/v1/objects"
    # An id is one segment, however it is written in the URI (the standard says so).
    address = f"{base}/{quote(unquote(form['id']), safe='')}"
    document = _json(address)
    if document.get("contents"):
        raise DrsError(400, "The object is a bundle; only single objects can be imported.")
    try:
        size, identifier = int(document["size"]), str(document["id"])
        checksums = {one["type"]: one["checksum"] for one in document.get("checksums") or []}
        methods = [dict(method) for method in document.get("access_methods") or []]
    except (KeyError, TypeError, ValueError):
        raise DrsError(502, "The server's answer is not that of the standard.") from None
    url, headers = _access(address, methods)
    known = {kind: text for kind, text in checksums.items() if kind in _CHECKSUMS}
    return DrsObject(document.get("name") or identifier, size, known, url, headers)


def _access(address: str, methods: list[dict[str, Any]]) -> tuple[str, dict[str, str]]:
    """The first way that this server knows to the bytes."""
    for method in methods:
        access = method.get("access_url")
        if access is None and method.get("access_id"):
            access = _json(f"{address}/access/{quote(str(method['access_id']), safe='')}")
        url = str((access or {}).get("url", ""))
        if _is_allowed(url):
            given = [str(line).partition(":") for line in (access or {}).get("headers") or []]
            return url, {name.strip(): value.strip() for name, _, value in given}
    raise DrsError(400, "The object can be had in no way that is known here (https).")


def _scheme(host: str) -> str:
    """Https (the standard says so), but on this machine."""
    return "http" if re.sub(r":\d+$", "", host) in _LOOPBACK else "https"


def _is_allowed(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.scheme in ("https", _scheme(parts.netloc))


def _json(address: str) -> dict[str, Any]:
    headers = {"Accept": "application/json"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - http or https
    with _open(request) as answer:
        try:
            document = json.load(answer)
        except ValueError:
            raise DrsError(502, "The server's answer is no JSON.") from None
    if not isinstance(document, dict):
        raise DrsError(502, "The server's answer is not that of the standard.")
    return document


def _open(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        status = error.code if error.code in (400, 401, 403, 404) else 502
        raise DrsError(status, f"The DRS server answers {error.code} {error.reason}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DrsError(502, f"The DRS server cannot be reached: {reason}.") from None
