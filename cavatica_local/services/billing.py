"""Billing groups, and what tasks have cost.

A task shows its price with two decimals, so that a cheap one costs 0.00; the breakdown of a billing
group has six, and only the group's owner sees it.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.state.accounts import BillingState, billing_state
from cavatica_local.state.database import Database
from cavatica_local.state.times import timestamp

_BY_GROUP = (
    "FROM tasks JOIN projects ON tasks.project = projects.id"
    " WHERE billing_group = ? AND batch = 0 AND computation IS NOT NULL AND ended IS NOT NULL"
    " AND ended >= ? AND ended < ?"
)


def price(database: Database, task: sqlite3.Row, *, digits: int) -> dict[str, Any] | None:
    """What a task has cost so far; a batch what its children have. None before the first instance.

    Amounts are strings (documented in examples).
    """
    paid = task
    if task["batch"]:
        paid = database.all(
            "SELECT sum(computation) AS computation, sum(storage) AS storage FROM tasks"
            " WHERE parent = ?",
            task["id"],
        )[0]
    if paid["computation"] is None:
        return None
    computation, storage = paid["computation"], paid["storage"]
    return {
        "currency": "USD",
        "amount": f"{computation + storage:.{digits}f}",
        "breakdown": {
            "storage": f"{storage:.{digits}f}",
            "computation": f"{computation:.{digits}f}",
            "data_transfer_in": f"{0:.{digits}f}",
        },
    }


def _group_fields(request: ApiRequest) -> Renderers:
    api = request.platform.settings.api

    def state(user: sqlite3.Row) -> BillingState:
        return billing_state(request.database, user["billing_group"])

    return {
        "href": lambda user: f"{api}/billing/groups/{user['billing_group']}",
        "id": lambda user: user["billing_group"],
        "owner": lambda user: user["username"],
        "name": lambda user: f"{user['username']} Billing Group",
        "type": lambda _: "free",
        "pending": lambda user: state(user).pending,
        "disabled": lambda user: state(user).disabled,
        "balance": lambda user: {"currency": "USD", "amount": state(user).balance},
    }


def _list_groups(request: ApiRequest) -> Reply:
    rows = request.database.all("SELECT * FROM users WHERE username = ?", request.username)
    rows = rows[request.page.offset :]
    fields = _group_fields(request)
    return request.listing([request.render(fields, row, ("href", "id", "name")) for row in rows], 1)


def _group(request: ApiRequest, *, no_owner: int) -> sqlite3.Row:
    """The billing group of the path; `no_owner` is the code for those that do not own it."""
    row = request.database.one("SELECT * FROM users WHERE billing_group = ?", request.path["group"])
    if row is None:
        raise ApiError(4002)
    if row["username"] != request.username:
        raise ApiError(no_owner)
    return row


def _get_group(request: ApiRequest) -> Any:
    return request.render(_group_fields(request), _group(request, no_owner=4002))


def _analysis_breakdown(request: ApiRequest) -> Reply:
    """What each task has cost, with six decimals; in the order in which they ended."""
    group = _group(request, no_owner=4001)["billing_group"]
    values = (
        group,
        _day(request, "date_from", 0.0),
        _day(request, "date_to", float("inf"), days=1),
    )
    total: int = request.database.value(f"SELECT count(*) {_BY_GROUP}", *values)
    rows = request.database.all(
        "SELECT tasks.*, projects.name AS project_name, projects.settings AS project_settings"
        f" {_BY_GROUP} ORDER BY ended, tasks.id LIMIT ? OFFSET ?",
        *values,
        request.page.limit,
        request.page.offset,
    )
    fields = _analysis_fields(request)
    return request.listing([request.render(fields, row) for row in rows], total)


def _analysis_fields(request: ApiRequest) -> Renderers:
    return {
        "analysis_type": lambda _: "TASK",
        "analysis_id": lambda row: row["id"],
        "project_locked": lambda _: False,
        "project_name": lambda row: row["project_name"],
        "analysis_app_name": lambda row: row["app"].rpartition("/")[2],
        "analysis_name": lambda row: row["name"],
        "ran_by": lambda row: row["executed_by"],
        "analysis_status": lambda row: row["status"],
        "analysis_cost": lambda row: price(request.database, row, digits=6),
        "refunded_amount": lambda _: "0.000000",
        "time_started": lambda row: timestamp(row["started"]),
        "time_finished": lambda row: timestamp(row["ended"]),
    }


def _day(request: ApiRequest, name: str, default: float, *, days: int = 0) -> float:
    """A day as mm-dd-yyyy (documented), in UTC, and so many days later."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        day = datetime.strptime(text, "%m-%d-%Y").replace(tzinfo=UTC)
    except ValueError:
        raise ApiError(90000, f"{name} is a date like 12-31-2026, not '{text}'.") from None
    return (day + timedelta(days=days)).timestamp()


ROUTES: list[Route] = [
    route("/billing/groups", {"GET": _list_groups}),
    route("/billing/groups/{group}", {"GET": _get_group}),
    route("/billing/groups/{group}/breakdown/analysis", {"GET": _analysis_breakdown}),
]
