"""Tasks: making, changing, running and aborting them, and what is asked about one."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from starlette.routing import Route

from cavatica_local.errors import ApiError
from cavatica_local.execution.task_records import TERMINAL
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.http.responses import Reply
from cavatica_local.http.routes import route
from cavatica_local.services import batches
from cavatica_local.services.drafts import (
    Draft,
    batching_of,
    clone_draft,
    create_draft,
    edit_draft,
    is_to_run,
    required_text,
)
from cavatica_local.services.task_fields import open_task, task_document, task_fields
from cavatica_local.services.task_listings import bulk_get, list_tasks
from cavatica_local.state.accounts import billing_state
from cavatica_local.state.app_revisions import find_revision
from cavatica_local.state.task_inputs import inputs_of
from cavatica_local.state.times import now, timestamp


def _create_task(request: ApiRequest) -> Any:
    """A draft; with `action=run` it is started if nothing stands against it.

    Documented only by the provider's client: validation errors do not make the call fail, the
    answer holds them and the task stays a draft.
    """
    row = create_draft(request)
    if is_to_run(request) and row["errors"] == "[]":
        return _start(request, open_task(request, key=row["id"]))
    return task_document(request, row["id"])


def _edit_task(request: ApiRequest) -> Any:
    """Documented: only drafts can be changed; running and completed tasks can be renamed."""
    row = open_task(request, "execute")
    body = request.object()
    if row["status"] != "DRAFT":
        if row["status"] not in ("RUNNING", "COMPLETED") or set(body) != {"name"}:
            raise ApiError(7026)
        request.database.update("tasks", row["id"], {"name": required_text(body, "name", 90000)})
    else:
        edit_draft(request, row, body)
    return task_document(request, row["id"])


def _get_inputs(request: ApiRequest) -> Any:
    return inputs_of(request.database, open_task(request)["inputs"])


def _edit_inputs(request: ApiRequest) -> Any:
    row = open_task(request, "execute")
    if row["status"] != "DRAFT":
        raise ApiError(7026)
    edit_draft(request, row, {"inputs": request.object(7012)})
    return _get_inputs(request)


def _delete_task(request: ApiRequest) -> Reply:
    row = open_task(request, "execute")
    finished = request.switches.delete_finished_task and row["status"] in TERMINAL
    if row["status"] != "DRAFT" and not finished:
        raise ApiError(7010)
    request.database.run("DELETE FROM tasks WHERE id = ? OR parent = ?", row["id"], row["id"])
    return request.deleted()


# --- actions -------------------------------------------------------------------------------------


def _run_task(request: ApiRequest) -> Any:
    row = open_task(request, "execute")
    if row["status"] != "DRAFT":
        raise ApiError(7010)
    _see_that_it_can_be_paid(request, row["project"])
    interruptible = request.flag("use_interruptible_instances")
    if interruptible is not None:
        request.database.update("tasks", row["id"], {"interruptible": interruptible})
    if request.flag("batch") is False:
        if not row["batch"]:
            raise ApiError(7022)
        changes = {"batch": False, "batch_input": None, "batch_by": None}
        request.database.update("tasks", row["id"], changes)
    return _start(request, open_task(request))


def _see_that_it_can_be_paid(request: ApiRequest, project: str) -> None:
    """Which error tells of a disabled billing group is not known."""
    group = request.database.value("SELECT billing_group FROM projects WHERE id = ?", project)
    if billing_state(request.database, group).disabled:
        raise ApiError(4001, "The billing group of the project is disabled.")


def _start(request: ApiRequest, row: sqlite3.Row) -> Any:
    """Check a draft once more and queue it, or let a batch make its children."""
    revision = find_revision(request.database, row["app"], row["revision"])
    if revision is None:
        raise ApiError(6002)
    draft, batching = Draft(request, row["project"], revision), batching_of(row)
    inputs = inputs_of(request.database, row["inputs"])
    settings = json.loads(row["settings"])
    errors = draft.errors(inputs, batching, settings, json.loads(row["location"] or "null"))
    if errors:
        request.database.update("tasks", row["id"], {"errors": json.dumps(errors)})
        # Not raised: an exception would undo the note of the errors.
        refusal = ApiError(7024, f"The task cannot be started: {errors[0]}")
        return Reply(refusal.envelope(), status=refusal.status)
    started = now()
    changes = {
        "status": "QUEUED",
        "message": "Initializing...",
        "executed_by": request.username,
        "queued": started,
        "started": started,
        "errors": "[]",
    }
    if batching is not None:
        changes.update(status="CREATING", message="Batch tasks list initialization.")
    request.database.update("tasks", row["id"], changes)
    queued = open_task(request, key=row["id"])
    if batching is not None:
        grouping = draft.grouping(batching, inputs)
        request.platform.in_background(
            batches.create_children(request.platform, request.scheduler, queued, grouping)
        )
    else:
        request.scheduler.queue.submit(row["id"])
    return _run_answer(request, queued)


def _run_answer(request: ApiRequest, row: sqlite3.Row) -> dict[str, Any]:
    """The documented example of the answer says RUNNING although the task only starts to wait."""
    shown = dict(row)
    if shown["status"] == "QUEUED":
        shown["status"] = request.switches.run_answer_status
    return request.render(task_fields(request.platform, request.scheduler), shown)


def _abort_task(request: ApiRequest) -> Any:
    """Documented: possible while CREATING, QUEUED or RUNNING; a batch aborts all its children."""
    row = open_task(request, "execute")
    if row["status"] not in ("CREATING", "QUEUED", "RUNNING"):
        raise ApiError(7011)
    aborted = [row]
    if row["batch"]:
        aborted += request.database.all(
            "SELECT * FROM tasks WHERE parent = ? AND status IN ('QUEUED', 'RUNNING')", row["id"]
        )
    for task in aborted:
        request.database.update("tasks", task["id"], {"status": "ABORTING", "message": "Aborting"})
        if not task["batch"]:
            request.scheduler.interventions.abort(task)
    return task_document(request, row["id"])


def _clone_task(request: ApiRequest) -> Any:
    """A new draft with the same content; `action=run` starts it."""
    row = clone_draft(request, open_task(request, "execute"))
    if is_to_run(request):
        return _start(request, open_task(request, key=row["id"]))
    return task_document(request, row["id"])


# --- questions -----------------------------------------------------------------------------------


def get_task(request: ApiRequest) -> Any:
    """`GET /tasks/{task_id}`."""
    return request.render(task_fields(request.platform, request.scheduler), open_task(request))


def _execution_details(request: ApiRequest) -> Any:
    row = open_task(request)
    if row["batch"] and request.switches.batch_parent_execution_details == "error":
        raise ApiError(90000, "A batch task has no execution details, its children have.")
    api = request.platform.settings.api
    return {
        "href": f"{api}/tasks/{row['id']}/execution_details",
        "start_time": timestamp(row["started"]),
        "end_time": timestamp(row["ended"]),
        "status": row["status"],
        "message": row["message"],
        "jobs": [
            {
                **job,
                "start_time": timestamp(job["start_time"]),
                "end_time": timestamp(job["end_time"]),
                "logs": {
                    name: f"{api}/files/{key}/download_info" for name, key in job["logs"].items()
                },
            }
            for job in json.loads(row["jobs"])
        ],
    }


TASK = "/tasks/{task_id}"

ROUTES: list[Route] = [
    route("/tasks", {"GET": list_tasks, "POST": _create_task}),
    route("/bulk/tasks/get", {"POST": bulk_get}),
    route("/projects/{owner}/{project}/tasks", {"GET": list_tasks}),
    route(TASK, {"GET": get_task, "PATCH": _edit_task, "DELETE": _delete_task}),
    route(f"{TASK}/inputs", {"GET": _get_inputs, "PATCH": _edit_inputs}),
    route(f"{TASK}/execution_details", {"GET": _execution_details}),
    route(f"{TASK}/actions/run", {"POST": _run_task}),
    route(f"{TASK}/actions/abort", {"POST": _abort_task}),
    route(f"{TASK}/actions/clone", {"POST": _clone_task}),
]
