"""Users."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.http.routes import route


def _user_fields(request: ApiRequest) -> Renderers:
    api = request.platform.settings.api
    return {
        "href": lambda user: f"{api}/users/{user['username']}",
        "username": lambda user: user["username"],
        "email": lambda user: user["email"],
        "first_name": lambda user: user["first_name"],
        "last_name": lambda user: user["last_name"],
        "role": lambda _: "MEMBER",
        "tags": lambda _: [],
        **{name: lambda _: "" for name in ("affiliation", "phone", "address", "city", "state")},
        "country": lambda _: "",
        "zip_code": lambda _: "",
    }


def _get_user(request: ApiRequest) -> Any:
    username = request.path.get("username", request.username)
    row = request.database.one("SELECT * FROM users WHERE username = ?", username)
    if row is None:
        raise ApiError(2002)
    return request.render(_user_fields(request), row)


ROUTES: list[Route] = [
    route("/user", {"GET": _get_user}),
    route("/users/{username}", {"GET": _get_user}),
]
