"""Files that are named otherwise than by their place: by the platform's id, or as DRS objects.

`cavatica://id/<file id>` is a file of any project; a name may follow, by which tasks see it.
`drs://host/id` is an object of a GA4GH DRS server; `#name` gives it a name.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from dataclasses import dataclass

from .paths import DRS, MAX_NAME, SCHEME

_ID = re.compile(rf"{SCHEME}id/(?P<id>[0-9a-f]{{24}})(?:/(?P<name>[^/]+))?")
_URI = re.compile(rf"(?P<uri>{DRS}[^\s#\0]+)(?:#(?P<name>[^/#\0]+))?")


@dataclass(frozen=True)
class Alias:
    """A file that is named by an id or a DRS URI; one of them is None."""

    query: str
    file_id: str | None
    uri: str | None
    name: str = ""
    """For people and tools; empty if none was given."""

    @property
    def stored_name(self) -> str:
        """Of an imported object: no other has it; the extension is kept for people and tools."""
        uri = str(self.uri)
        digest = hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = self.name or posixpath.basename(uri.removeprefix(DRS).rstrip("/"))
        return f"{digest}-{name}" if len(os.fsencode(name)) < MAX_NAME - 17 else digest


def alias_of(query: str) -> Alias | None:
    """The file that a query names by something else than its place; None if it is a place.

    Raises:
        ValueError: it is a DRS URI, but none that is well formed.
    """
    if query.startswith(DRS):
        form = _URI.fullmatch(query)
        if form is None:
            raise ValueError(f"a DRS object is written {DRS}host/id, or {DRS}host/id#name")
        return Alias(query, None, form["uri"], form["name"] or "")
    by_id = _ID.fullmatch(query)
    return None if by_id is None else Alias(query, by_id["id"], None, by_id["name"] or "")
