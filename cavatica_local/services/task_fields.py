"""A task by its id, and how it is shown."""

from __future__ import annotations

import json
import sqlite3
import uuid
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.errors import ApiError
from cavatica_local.execution.scheduler import Scheduler
from cavatica_local.execution.task_records import child_counts
from cavatica_local.http.access import TASKS, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.services import billing
from cavatica_local.state.app_revisions import document_of, find_revision
from cavatica_local.state.database import Database
from cavatica_local.state.permissions import Permission
from cavatica_local.state.platform import Platform
from cavatica_local.state.task_inputs import inputs_of
from cavatica_local.state.times import now, timestamp

STATUSES = ("DRAFT", "CREATING", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "ABORTING", "ABORTED")
INITIALIZING_SECONDS = 1.0


def task_fields(platform: Platform, scheduler: Scheduler) -> Renderers:
    """How a task is shown; the app always with its revision."""
    api = platform.settings.api

    def parsed(column: str) -> Any:
        return lambda row: None if row[column] is None else json.loads(row[column])

    return {
        "href": lambda row: f"{api}/tasks/{row['id']}",
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "description": lambda row: row["description"],
        "status": lambda row: row["status"],
        "project": lambda row: row["project"],
        "app": lambda row: f"{row['app']}/{row['revision']}",
        "type": lambda _: "v2",
        "created_by": lambda row: row["created_by"],
        "executed_by": lambda row: row["executed_by"],
        "created_time": lambda row: timestamp(row["created"]),
        "start_time": lambda row: timestamp(row["started"]),
        "end_time": lambda row: timestamp(row["ended"]),
        "batch": lambda row: bool(row["batch"]),
        "batch_by": parsed("batch_by"),
        "batch_input": lambda row: row["batch_input"],
        "batch_group": parsed("batch_group"),
        "parent": lambda row: row["parent"],
        "origin_id": lambda row: row["origin_id"],
        "execution_status": lambda row: _execution_status(platform.database, scheduler, row),
        "execution_settings": parsed("settings"),
        "use_interruptible_instances": lambda row: bool(row["interruptible"]),
        "output_location": parsed("location"),
        "price": lambda row: billing.price(platform.database, row, digits=2),
        "errors": lambda row: _shown_errors(platform, json.loads(row["errors"])),
        "warnings": lambda _: [],
        "inputs": lambda row: inputs_of(platform.database, row["inputs"]),
        "outputs": parsed("outputs"),
    }


def _shown_errors(platform: Platform, errors: list[str]) -> list[dict[str, str]]:
    return [{platform.switches.task_errors_shape: error} for error in errors]


def _execution_status(database: Database, scheduler: Scheduler, row: sqlite3.Row) -> dict[str, Any]:
    """Documented: a task that was just run can have a message and nothing else."""
    if row["status"] == "DRAFT":
        return {"message": "Draft"}
    fresh = row["running"] is None and row["ended"] is None
    if fresh and now() - row["queued"] < INITIALIZING_SECONDS:
        return {"message": row["message"]}
    waiting = scheduler.queue.waiting_for(row["id"]) if row["status"] == "QUEUED" else None
    status = {
        "message": "In queue" if waiting else row["message"],
        "system_limit": False,
        "account_limit": waiting == "account_limit",
        "instance_init": waiting == "instance_init",
        **_durations(row),
    }
    if row["batch"]:
        return {**status, **_counts(database, row["id"])}
    app = find_revision(database, row["app"], row["revision"])
    steps = 1 if app is None else documents.steps_total(document_of(app))
    completed = steps if row["status"] == "COMPLETED" else 0
    return {**status, "steps_completed": completed, "steps_total": steps}


def _durations(row: sqlite3.Row) -> dict[str, int]:
    """Milliseconds, judging by the magnitudes in the documented examples."""
    end = row["ended"] or now()
    begin = row["queued"] or end  # a batch that is aborted has children that were never queued
    queued = (row["running"] or end) - begin
    running = end - row["running"] if row["running"] else 0.0
    return {
        "duration": int((end - begin) * 1000),
        "queued_duration": int(queued * 1000),
        "running_duration": int(running * 1000),
        "execution_duration": int(running * 1000),
    }


def _counts(database: Database, parent: str) -> dict[str, int]:
    counts = child_counts(database, parent)
    names = ("queued", "running", "completed", "failed", "aborted")
    return {name: counts.get(name.upper(), 0) for name in names}


def open_task(request: ApiRequest, need: Permission = "read", key: Any = None) -> sqlite3.Row:
    """A task by id (by default that of the path), if the caller has this permission."""
    key = request.path["task_id"] if key is None else key
    try:
        uuid.UUID(key)
    except (ValueError, AttributeError, TypeError):
        raise ApiError(7005) from None
    row = request.database.one("SELECT * FROM tasks WHERE id = ?", key)
    if row is None:
        raise ApiError(7002)
    open_project(request, row["project"], need, TASKS)
    return row


def task_document(request: ApiRequest, task_id: str) -> dict[str, Any]:
    """A task as the request wants to see it."""
    row = request.database.one("SELECT * FROM tasks WHERE id = ?", task_id)
    return request.render(task_fields(request.platform, request.scheduler), row)
