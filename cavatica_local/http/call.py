"""From an HTTP request to a handler's call, and from its result to a response."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.fieldsets import Renderers, Selector
from cavatica_local.state.database import Database
from cavatica_local.state.platform import Platform
from cavatica_local.switches import Switches

PAGE_DEFAULT = 50
PAGE_MAXIMUM = 100
INTEGER_MAXIMUM = 1 << 31
_NO_CONTENT = 204


@dataclass(frozen=True)
class Reply:
    """An answer that is more than a JSON document with status 200."""

    body: Any
    status: int = 200
    headers: dict[str, str] | None = None


@dataclass(frozen=True)
class Page:
    """The part of a listing that was asked for."""

    limit: int
    offset: int


class Call:
    """One authenticated request, with what a handler needs."""

    def __init__(self, request: Request, username: str, body: Any) -> None:
        self.platform: Platform = request.app.state.platform
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
        return Reply(None, status=_NO_CONTENT)


Handler = Callable[[Call], Any]


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON response; no body at all for None."""
    if content is None:
        return Response(None, status, headers)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, headers, media_type="application/json")


def route(path: str, handlers: dict[str, Handler]) -> Route:
    """A path below `/v2` with one handler per method.

    Plain functions run on the event loop inside a transaction; coroutine functions have work that
    takes longer and open their transactions themselves.
    """

    async def endpoint(request: Request) -> Response:
        username: str | None = request.scope["username"]
        if username is None:
            raise ApiError(90001)
        handler = handlers.get(request.method)
        if handler is None:
            raise ApiError(90006)
        call = Call(request, username, await _body(request))
        if inspect.iscoroutinefunction(handler):
            result = await handler(call)
        else:
            with call.database.transaction():
                result = handler(call)
        reply = result if isinstance(result, Reply) else Reply(result)
        return json_response(reply.body, reply.status, reply.headers)

    return Route(f"/v2{path}", endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])


async def _body(request: Request) -> Any:
    """The decoded body. The provider's client sends a literal `null` where none is expected."""
    try:
        raw = await request.body()
    except ClientDisconnect:  # nobody is there to read this
        raise ApiError(90009, "The request was cut off.") from None
    if not raw.strip():
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/yaml" and request.url.path.endswith("/raw"):
        return _yaml(raw)
    if media_type != "application/json":
        raise ApiError(90008)
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ApiError(90009, f"The request body is not JSON: {error}") from error


def _yaml(raw: bytes) -> Any:
    # Comes with cwltool; imported here because loading it costs time and hardly anyone sends YAML.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        return json.loads(json.dumps(YAML(typ="safe").load(raw)))
    except (YAMLError, TypeError) as error:
        raise ApiError(90009, f"The request body is not YAML: {error}") from error
