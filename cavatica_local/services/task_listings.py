"""Several tasks: listings and the bulk call."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from cavatica_local.errors import ApiError
from cavatica_local.http.access import Codes, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply
from cavatica_local.services.task_fields import STATUSES, open_task, task_fields
from cavatica_local.state.permissions import READABLE_PROJECTS

SHORT = ("href", "id", "name", "project")


_ORDERS = {
    "created_time": "created",
    "start_time": "started",
    "end_time": "ended",
    "name": "name",
    "created_by": "created_by",
}
_ID_LENGTH = 36
_LISTING_ORDERS = {"id": "id", "created": "created, id", "-created": "created DESC, id"}


def list_tasks(request: ApiRequest) -> Reply:
    """`GET /tasks`, of one project or of all."""
    where, values = _task_filters(request)
    source = f"FROM tasks WHERE {where}"
    page = request.page
    total = request.database.value(f"SELECT count(*) {source}", *values)
    rows = request.database.all(
        f"SELECT * {source} ORDER BY {_task_order(request)} LIMIT ? OFFSET ?",
        *values,
        page.limit,
        page.offset,
    )
    fields = task_fields(request.platform, request.scheduler)
    return request.listing([request.render(fields, row, SHORT) for row in rows], total)


def count_by_status(request: ApiRequest) -> dict[str, int]:
    """How many tasks of a listing are in each status; no call of the API."""
    where, values = _task_filters(request)
    rows = request.database.all(
        f"SELECT status, count(*) AS number FROM tasks WHERE {where} GROUP BY status",  # noqa: S608
        *values,
    )
    return {row["status"]: row["number"] for row in rows}


def _task_filters(request: ApiRequest) -> tuple[str, list[Any]]:
    query = request.query
    where, values = _scope(request)
    if statuses := query.getlist("status"):
        if not set(statuses) <= set(STATUSES):
            raise ApiError(7006)
        where += f" AND status IN ({', '.join('?' for _ in statuses)})"
        values += statuses
    if origin := query.get("origin_id"):
        where += " AND origin_id = ?"
        values.append(origin)
    if (batch := request.flag("batch")) is not None:
        where += " AND batch = ?"
        values.append(batch)
    for column in ("created", "started", "ended"):
        for suffix, comparison in (("from", ">="), ("to", "<=")):
            if text := query.get(f"{column}_{suffix}"):
                where += f" AND {column} {comparison} ?"
                values.append(_moment(text))
    return where, values


def _scope(request: ApiRequest) -> tuple[str, list[Any]]:
    """The tasks of a project or of all that the caller sees, without or only with children."""
    where = f"project IN {READABLE_PROJECTS}"
    values: list[Any] = [request.username]
    project = request.query.get("project")
    if "owner" in request.path:
        project = f"{request.path['owner']}/{request.path['project']}"
    if project:
        open_project(request, project, "read", Codes(3002, 3001))
        where, values = "project = ?", [project]
    if parent := request.query.get("parent"):
        where += " AND parent = ?"
        values.append(open_task(request, key=parent)["id"])
    elif not request.switches.listing_includes_children:
        where += " AND parent IS NULL"
    return where, values


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ApiError(90000, f"'{text}' is no date and time.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _task_order(request: ApiRequest) -> str:
    """Documented: `order` has an effect only together with `order_by`."""
    order_by = request.query.get("order_by")
    if order_by is None and request.switches.task_listing_order == "unstable":
        return f"substr(id, {1 + secrets.randbelow(_ID_LENGTH)}), id"
    if order_by is None:
        return _LISTING_ORDERS[request.switches.task_listing_order]
    direction = request.query.get("order", request.switches.task_order_default).lower()
    if order_by not in _ORDERS or direction not in ("asc", "desc"):
        raise ApiError(90000, "order_by or order is not valid.")
    return f"{_ORDERS[order_by]} {direction}, id"


def bulk_get(request: ApiRequest) -> Any:
    """`POST /bulk/tasks/get`: one result or error for each id."""
    keys = request.object().get("task_ids")
    if not isinstance(keys, list) or not keys or len(keys) > request.switches.bulk_max_items:
        raise ApiError(90000, f"task_ids is a list of 1 to {request.switches.bulk_max_items} ids.")
    fields = task_fields(request.platform, request.scheduler)
    items = []
    for key in keys:
        try:
            items.append({"resource": request.render(fields, open_task(request, key=key))})
        except ApiError as error:
            items.append({"error": error.envelope()})
    return {"items": items}
