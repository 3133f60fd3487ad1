"""One request, not sent yet, and what all of them are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from .errors import ConfigurationError
from .fields import is_usable_id

# The largest page and the largest bulk call.
PAGE = 100
BULK = 100

# The provider's client refuses URLs of more than 6,000 characters; names get the bulk of that.
_MAX_NAMES_IN_URL = 4000


@dataclass(frozen=True)
class Call:
    """One request. `path` starts after the endpoint.

    `safe`: a second delivery changes nothing, so it may be repeated when no answer came.
    `urgent`: it may use the share of the rate limit that is kept free for other tools.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: Any = None
    safe: bool = False
    urgent: bool = False

    @cached_property
    def content(self) -> bytes:
        """The body as it is sent; without one the provider's client sends a JSON null."""
        return json.dumps(self.body).encode()

    def at(self, offset: int) -> Call:
        """The same listing, from another of its items on."""
        kept = tuple((key, value) for key, value in self.params if key != "offset")
        return replace(self, params=(*kept, ("offset", str(offset))))


def get(path: str, params: Mapping[str, Any] | None = None) -> Call:
    """A GET; parameters that are None are left out, lists are repeated."""
    return Call("GET", path, _params(params), safe=True)


def post(
    path: str,
    body: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    safe: bool = False,
    urgent: bool = False,
) -> Call:
    """A POST, by default one that must not be delivered twice."""
    return Call("POST", path, _params(params), body, safe=safe, urgent=urgent)


def chunks(items: Iterable[str], size: int = BULK) -> list[list[str]]:
    """`items` without repetitions, cut into lists of at most `size`."""
    unique = list(dict.fromkeys(items))
    return [unique[start : start + size] for start in range(0, len(unique), size)]


def chunks_for_url(names: Iterable[str]) -> list[list[str]]:
    """`names` without repetitions, cut so that each list fits into one URL."""
    lists: list[list[str]] = [[]]
    used = 0
    for name in dict.fromkeys(names):
        cost = len(quote(name, safe="")) + len("&name=")
        if lists[-1] and used + cost > _MAX_NAMES_IN_URL:
            lists.append([])
            used = 0
        lists[-1].append(name)
        used += cost
    return [names for names in lists if names]


def with_id(fields: str | None) -> str | None:
    """A field selection that always includes the id, which every model needs."""
    if fields is None:
        return None
    wanted = fields.split(",")
    if "id" in wanted or "_all" in wanted or all(field.startswith("!") for field in wanted):
        return fields
    return f"id,{fields}"


def _params(params: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    flat: list[tuple[str, str]] = []
    for key, value in (params or {}).items():
        values = value if isinstance(value, list) else [value]
        flat.extend((key, _param(member)) for member in values if member is not None)
    return tuple(flat)


def _param(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        # A naive time would be read as some time zone or other; the platform speaks UTC.
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def segment(value: str) -> str:
    """An id as one segment of a path. An empty one would turn the call into another call."""
    if not is_usable_id(value):
        raise ConfigurationError(f"{value!r} is not an id")
    return quote(value, safe="")


def id_path(value: str) -> str:
    """An id of several parts, such as a project's."""
    return "/".join(segment(part) for part in value.split("/"))
