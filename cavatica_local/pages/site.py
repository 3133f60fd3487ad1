"""The pages as part of the server: who gets in, and what surrounds each answer.

A browser is made to hold to what the pages are: they run no code and use no style but their own,
ask no other address, and are shown in no other page. The cookie is for this server's pages alone
and goes with no request that another site has caused; the name of the host is checked, because a
name of somebody else may lead to this machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.pages import files, tasks
from cavatica_local.pages.rendering import Templates
from cavatica_local.pages.visit import ROOT, Page, Visit
from cavatica_local.state.platform import Settings
from cavatica_local.state.visitors import Visitors

CODE = "code"
_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?\Z")
"""Any port: the server may be reached by a tunnel."""

View = Callable[[Visit], Page | Response]


class Pages:
    """The pages of one server."""

    def __init__(self, settings: Settings, visitors: Visitors) -> None:
        self._visitors = visitors
        self._templates = Templates()
        self._is_safe = settings.base_url.startswith("https:")
        # A cookie goes to all ports of a host: another server here has one of another name.
        self._cookie = f"cavatica_local_{settings.base_url.rpartition(':')[2]}"

    def routes(self) -> list[Route]:
        """The pages, at the addresses that they have on the real platform."""
        project = f"{ROOT}/{{owner}}/{{project}}"
        return [
            self._route(ROOT, tasks.projects),
            self._route(project, tasks.project),
            self._route(f"{project}/tasks", tasks.project),
            self._route(f"{project}/tasks/{{task_id}}", tasks.task),
            self._route(f"{project}/files", files.root),
            self._route(f"{project}/files/{{file_id}}", files.file),
            self._route(f"{project}/files/{{file_id}}/download", files.download),
            self._route(f"{ROOT}/{{rest:path}}", _unknown),
        ]

    def _route(self, path: str, view: View) -> Route:
        async def endpoint(request: Request) -> Response:
            response = self._answer(request, view)
            for name, value in self._templates.headers.items():
                response.headers[name] = value
            return response

        return Route(path, endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

    def _answer(self, request: Request, view: View) -> Response:
        if not _THIS_MACHINE.match(request.headers.get("host", "")):
            return self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        if request.method not in ("GET", "HEAD"):
            refusal = self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
            refusal.headers["Allow"] = "GET, HEAD"
            return refusal
        if CODE in request.query_params and request.method == "GET":
            return self._enter(request)
        username = self._visitors.user(request.cookies.get(self._cookie, ""))
        if username is None:
            return self._refuse(HTTPStatus.UNAUTHORIZED)
        return self._shown(Visit(request, username), view)

    def _shown(self, visit: Visit, view: View) -> Response:
        """What a user gets to see, which may be that there is nothing for them."""
        try:
            with visit.platform.database.transaction():
                page = view(visit)
        except ApiError as error:
            # What is malformed for the API is for a reader an address that leads nowhere.
            status = (
                HTTPStatus.NOT_FOUND if error.status == HTTPStatus.BAD_REQUEST else error.status
            )
            return self._refuse(HTTPStatus(status), error.message, visit)
        return page if isinstance(page, Response) else self._templates.response(page, visit)

    def _enter(self, request: Request) -> Response:
        """Make a cookie of a code, and lead to the same page without the code."""
        session = self._visitors.enter(request.query_params[CODE])
        if session is None and not self._visitors.user(request.cookies.get(self._cookie, "")):
            return self._refuse(HTTPStatus.UNAUTHORIZED, "This address is not good any more.")
        query = [pair for pair in request.query_params.multi_items() if pair[0] != CODE]
        target = _path(request) + (f"?{urlencode(query)}" if query else "")
        response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        if session is not None:
            response.set_cookie(
                self._cookie,
                session,
                path=ROOT,
                httponly=True,
                samesite="strict",
                secure=self._is_safe,
            )
        return response

    def _refuse(self, status: HTTPStatus, reason: str = "", visit: Visit | None = None) -> Response:
        page = Page("refusal.html", {"status": int(status), "reason": reason}, status)
        return self._templates.response(page, visit)


def _unknown(visit: Visit) -> Response:
    """An address that is no page's, unless for a slash at its end."""
    path = _path(visit.request)
    if not path.endswith("/"):
        raise ApiError(90003, "This address leads nowhere.")
    return RedirectResponse(path.rstrip("/"), HTTPStatus.SEE_OTHER)


def _path(request: Request) -> str:
    """The path as it was asked for."""
    path: bytes = request.scope["raw_path"]
    return path.decode("latin-1")
