"""The web application: all routes and what surrounds them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.execution.scheduler import Scheduler
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.middleware import IdentityMiddleware, Traffic, TrafficMiddleware
from cavatica_local.http.responses import json_response
from cavatica_local.http.routes import route
from cavatica_local.pages.site import Pages
from cavatica_local.services import (
    apps,
    billing,
    bulk,
    drs_imports,
    files,
    members,
    projects,
    signed_urls,
    tasks,
    uploads,
    users,
)
from cavatica_local.services.control import Control
from cavatica_local.state.platform import Platform
from cavatica_local.state.visitors import Visitors

NOT_FOUND = 404
PATHS = ("rate_limit", "user", "users", "billing", "projects", "files", "tasks", "apps", "upload")


def build(
    platform: Platform, scheduler: Scheduler, traffic: Traffic, visitors: Visitors
) -> Starlette:
    """The application on a platform's state."""
    routes = [
        Route("/v2", _index),
        route("/rate_limit", {"GET": _rate_limit}),
        # Ahead of everything with `/files/{file_id}`.
        *bulk.ROUTES,
        *drs_imports.ROUTES,
        *tasks.ROUTES,
        *files.ROUTES,
        *uploads.ROUTES,
        *apps.ROUTES,
        *users.ROUTES,
        *projects.ROUTES,
        *members.ROUTES,
        *billing.ROUTES,
        *signed_urls.ROUTES,
        *Pages(platform.settings, visitors).routes(),
    ]
    if platform.settings.control:
        routes += Control(platform, scheduler, traffic, visitors).routes()
    application = Starlette(
        routes=routes,
        middleware=[
            Middleware(TrafficMiddleware, traffic=traffic, latency=platform.settings.latency),
            Middleware(IdentityMiddleware, platform=platform),
        ],
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            Exception: _unexpected_error,
        },
    )
    application.state.platform = platform
    application.state.scheduler = scheduler
    return application


async def _index(request: Request) -> Response:
    """All paths: the one call that needs no token (documented)."""
    api = request.app.state.platform.settings.api
    return json_response({f"{name}_url": f"{api}/{name}" for name in PATHS})


def _rate_limit(request: ApiRequest) -> dict[str, object]:
    """The state of the token's limit, and of the account's instances."""
    settings = request.platform.settings
    return {
        "rate": {
            "limit": request.rate.limit,
            "remaining": request.rate.remaining,
            "reset": request.rate.reset,
        },
        "instance_limit": {
            "limit": settings.instances,
            "remaining": request.scheduler.queue.free_instances,
        },
    }


async def _api_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return json_response(error.envelope(), error.status)


async def _http_error(_request: Request, error: Exception) -> Response:
    """Errors of the web framework. An unknown path gets the other, documented shape of a 404."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == NOT_FOUND:
        return json_response({"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}, NOT_FOUND)
    return json_response(ApiError(90006).envelope(), error.status_code)


async def _unexpected_error(_request: Request, error: Exception) -> Response:
    """The one boundary for errors of this server itself; the web server logs them."""
    unexpected = ApiError(90004, f"An unexpected error happened: {error!r}")
    return json_response(unexpected.envelope(), unexpected.status)
