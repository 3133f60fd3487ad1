"""What a handler gets: one authenticated request to the API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from cavatica_local.errors import ApiError
from cavatica_local.execution.scheduler import Scheduler
from cavatica_local.http.fieldsets import Renderers, Selector
from cavatica_local.http.responses import NO_CONTENT, Reply
from cavatica_local.state.database import Database
from cavatica_local.state.platform import Platform
from cavatica_local.switches import Switches

PAGE_DEFAULT = 50
PAGE_MAXIMUM = 100
INTEGER_MAXIMUM = 1 << 31


@dataclass(frozen=True)
class Page:
    """The part of a listing that was asked for."""

    limit: int
    offset: int


class ApiRequest:
    """One authenticated request, with what a handler needs."""

    def __init__(self, request: Request, username: str, body: Any) -> None:
        self.platform: Platform = request.app.state.platform
        self.scheduler: Scheduler = request.app.state.scheduler
        self.database: Database = self.platform.database
        self.switches: Switches = self.platform.switches
        self.username = username
        self.path: dict[str, str] = request.path_params
        self.query = request.query_params
        self.body = body
        self.rate = request.scope["rate"]
        self._url_path = request.scope["path"]

    def render(
        self, renderers: Renderers, source: Any, default: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Render a document as the `fields` parameter asks."""
        return Selector(self.query.get("fields"), default).render(renderers, source)

    def object(self, code: int = 90000) -> dict[str, Any]:
        """The body, which has to be an object."""
        if not isinstance(self.body, dict):
            raise ApiError(code, "The request body has to be a JSON object.")
        return self.body

    def flag(self, name: str) -> bool | None:
        """A boolean query parameter; the provider's client sends `True` and `False`."""
        text = self.query.get(name)
        if text is None:
            return None
        if text.lower() not in ("true", "false"):
            raise ApiError(90000, f"The parameter {name} has to be true or false.")
        return text.lower() == "true"

    @property
    def page(self) -> Page:
        """The `limit` and `offset` parameters."""
        limit = self._integer("limit", PAGE_DEFAULT, minimum=1)
        if limit > PAGE_MAXIMUM and self.switches.limit_over_maximum == "error":
            raise ApiError(90000, f"The limit is at most {PAGE_MAXIMUM}.")
        return Page(min(limit, PAGE_MAXIMUM), self._integer("offset", 0, minimum=0))

    def _integer(self, name: str, default: int, minimum: int) -> int:
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdecimal() or int(text) < minimum:
            raise ApiError(90000, f"The parameter {name} has to be an integer from {minimum}.")
        return min(int(text), INTEGER_MAXIMUM)

    def listing(self, items: list[dict[str, Any]], total: int) -> Reply:
        """One page of a listing, with its links and its total."""
        page = self.page
        links = []
        if page.offset + page.limit < total:
            links.append(self._link("next", page.offset + page.limit, page.limit))
        if page.offset > 0:
            links.append(self._link("prev", max(0, page.offset - page.limit), page.limit))
        body = {"href": self._url(page.offset, page.limit), "items": items, "links": links}
        return Reply(body, headers={"X-Total-Matching-Query": str(total)})

    def _link(self, relation: str, offset: int, limit: int) -> dict[str, str]:
        return {"href": self._url(offset, limit), "rel": relation, "method": "GET"}

    def _url(self, offset: int, limit: int) -> str:
        return self.url(offset=str(offset), limit=str(limit))

    def url(self, **changes: str) -> str:
        """This request's absolute URL, with some query parameters replaced."""
        query = [(k, v) for k, v in self.query.multi_items() if k not in changes]
        query += list(changes.items())
        return f"{self.platform.settings.base_url}{self._url_path}?{urlencode(query)}"

    def deleted(self) -> Reply:
        """The answer to a successful DELETE (documented as 200 too; clients know 204)."""
        return Reply(None, status=NO_CONTENT)
