"""One request for a page, and the questions that it asks the API's own services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from cavatica_local.errors import ApiError
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply
from cavatica_local.state.platform import Platform

ROOT = "/u"
"""All pages are below it, at the addresses that they have on the real platform."""
ROWS = 100
"""Of one page: the most that a listing of the API has."""
_MOST_PAGES = 100_000

Query = Mapping[str, str]
Service = Callable[[ApiRequest], Any]


@dataclass(frozen=True)
class Page:
    """What a template is filled with."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Listing:
    """One page of a listing."""

    items: list[dict[str, Any]]
    total: int
    number: int
    """Of this page, from 1 on."""

    @property
    def pages(self) -> int:
        """How many there are."""
        return max(1, -(-self.total // ROWS))


@dataclass(frozen=True)
class Visit:
    """One request by a user. What they may see, the services decide, as for any of their calls."""

    request: Request
    username: str

    @property
    def platform(self) -> Platform:
        """The platform that is looked at."""
        platform: Platform = self.request.app.state.platform
        return platform

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the path."""
        return self.request.path_params

    @property
    def project(self) -> str:
        """The id of the project that the path names."""
        return f"{self.path['owner']}/{self.path['project']}"

    @property
    def number(self) -> int:
        """Which page of a listing is wanted, from 1 on."""
        text = self.request.query_params.get("page", "1")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 1  # noqa: PLR2004
        return min(max(1, number), _MOST_PAGES)

    def ask(self, service: Service, path: Query | None = None, query: Query | None = None) -> Any:
        """What a service of the API answers this user, for the path of the page or another one.

        Raises:
            ApiError: what was asked for is not there, or is not for this user.
        """
        scope = {
            **self.request.scope,
            "path_params": self.path if path is None else path,
            "query_string": urlencode(query or {}).encode(),
            "rate": None,  # pages are no calls of the API
        }
        return service(ApiRequest(Request(scope), self.username, None))

    def ask_or_none(self, service: Service, path: Query) -> Any:
        """The same; None for what is not there, or not for this user."""
        try:
            return self.ask(service, path)
        except ApiError:
            return None

    def list(self, service: Service, query: Query, path: Query | None = None) -> Listing:
        """The wanted page of a listing of the API."""
        number = self.number
        part = {"limit": str(ROWS), "offset": str((number - 1) * ROWS)}
        reply: Reply = self.ask(service, path, {**query, **part})
        total = int((reply.headers or {})["X-Total-Matching-Query"])
        return Listing(reply.body["items"], total, number)


def address(*parts: str, **query: Any) -> str:
    """The address of a page; `owner/project` is one part."""
    path = "/".join(
        [ROOT, *(quote(part, safe="/" if n == 0 else "") for n, part in enumerate(parts))]
    )
    chosen = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(chosen)}" if chosen else path
