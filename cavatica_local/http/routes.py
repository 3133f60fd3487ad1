"""From an HTTP request to its handler, and from the handler's result to a response."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply, json_response

Handler = Callable[[ApiRequest], Any]


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
        wanted = ApiRequest(request, username, await _body(request))
        if inspect.iscoroutinefunction(handler):
            result = await handler(wanted)
        else:
            with wanted.database.transaction():
                result = handler(wanted)
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
