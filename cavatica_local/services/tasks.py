"""Tasks: drafts, running them, and everything that is asked about them."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.routing import Route

from cavatica_local.cwl import documents
from cavatica_local.errors import ApiError
from cavatica_local.execution import instance_types, outputs
from cavatica_local.execution.inputs import InputReader
from cavatica_local.execution.scheduler import TERMINAL, child_counts
from cavatica_local.http.access import (
    APPS,
    READABLE_PROJECTS,
    TASKS,
    Codes,
    Permission,
    open_project,
)
from cavatica_local.http.call import Call, Reply, route
from cavatica_local.http.fieldsets import Renderers
from cavatica_local.services import apps, batches, billing
from cavatica_local.services.batches import Batching, Grouping
from cavatica_local.services.projects import settings_of
from cavatica_local.state.platform import Platform, new_uuid, now, timestamp

SHORT = ("href", "id", "name", "project")
STATUSES = ("DRAFT", "CREATING", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "ABORTING", "ABORTED")
INITIALIZING_SECONDS = 1.0
_APP_ID = re.compile(r"([^/]+/[^/]+/[^/]+?)(?:/(\d+))?\Z")
_SETTINGS: dict[str, tuple[type, ...]] = {
    "instance_type": (str, list),
    "max_parallel_instances": (int,),
    "use_memoization": (bool,),
    "use_elastic_disk": (bool,),
}


# --- how a task is shown -------------------------------------------------------------------------


def task_fields(platform: Platform) -> Renderers:
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
        "execution_status": lambda row: _execution_status(platform, row),
        "execution_settings": parsed("settings"),
        "use_interruptible_instances": lambda row: bool(row["interruptible"]),
        "output_location": parsed("location"),
        "price": lambda row: billing.price(platform.database, row, digits=2),
        "errors": lambda row: _shown_errors(platform, json.loads(row["errors"])),
        "warnings": lambda _: [],
        "inputs": parsed("inputs"),
        "outputs": parsed("outputs"),
    }


def _shown_errors(platform: Platform, errors: list[str]) -> list[dict[str, str]]:
    return [{platform.switches.task_errors_shape: error} for error in errors]


def _execution_status(platform: Platform, row: sqlite3.Row) -> dict[str, Any]:
    """Documented: a task that was just run can have a message and nothing else."""
    if row["status"] == "DRAFT":
        return {"message": "Draft"}
    fresh = row["running"] is None and row["ended"] is None
    if fresh and now() - row["queued"] < INITIALIZING_SECONDS:
        return {"message": row["message"]}
    waiting = platform.scheduler.waiting_for(row["id"]) if row["status"] == "QUEUED" else None
    status = {
        "message": "In queue" if waiting else row["message"],
        "system_limit": False,
        "account_limit": waiting == "account_limit",
        "instance_init": waiting == "instance_init",
        **_durations(row),
    }
    if row["batch"]:
        return {**status, **_counts(platform, row["id"])}
    app = apps.find_revision(platform.database, row["app"], row["revision"])
    steps = 1 if app is None else documents.steps_total(apps.document_of(app))
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


def _counts(platform: Platform, parent: str) -> dict[str, int]:
    counts = child_counts(platform, parent)
    names = ("queued", "running", "completed", "failed", "aborted")
    return {name: counts.get(name.upper(), 0) for name in names}


# --- drafts --------------------------------------------------------------------------------------


def _task(call: Call, need: Permission = "read", key: Any = None) -> sqlite3.Row:
    key = call.path["task_id"] if key is None else key
    try:
        uuid.UUID(key)
    except (ValueError, AttributeError, TypeError):
        raise ApiError(7005) from None
    row = call.database.one("SELECT * FROM tasks WHERE id = ?", key)
    if row is None:
        raise ApiError(7002)
    open_project(call, row["project"], need, TASKS)
    return row


def _document(call: Call, task_id: str) -> dict[str, Any]:
    row = call.database.one("SELECT * FROM tasks WHERE id = ?", task_id)
    return call.render(task_fields(call.platform), row)


class _Draft:
    """A draft as it is to be stored: app, inputs and batching, checked against each other."""

    def __init__(self, call: Call, project: str, revision: sqlite3.Row) -> None:
        self._app_errors: list[str] = json.loads(revision["errors"])
        # Nothing is read from a document that is not valid: it may hold anything anywhere.
        self.document = {} if self._app_errors else apps.document_of(revision)
        self.ports = documents.input_ports(self.document)
        self.reader = InputReader(call.database, project)
        self._switches = call.switches

    def default_batching(self) -> Batching | None:
        return batches.app_default(self.document, self.ports)

    def grouping(self, batching: Batching, inputs: dict[str, Any]) -> Grouping:
        port, value = self.ports[batching.input], inputs.get(batching.input)
        return Grouping(self._switches, self.reader, batching, port, value)

    def errors(
        self,
        inputs: dict[str, Any],
        batching: Batching | None,
        settings: dict[str, Any],
        location: Any,
    ) -> list[str]:
        """Everything that keeps the draft from being run."""
        if self._app_errors:
            return [f"The app is not valid: {self._app_errors[0]}"]
        errors: list[str] = []
        ports, others = self.ports, inputs
        if batching is not None:
            errors += self.grouping(batching, inputs).errors
            ports = {name: port for name, port in ports.items() if name != batching.input}
            others = {name: value for name, value in inputs.items() if name != batching.input}
        errors += self.reader.errors(ports, others)
        errors += outputs.check_location(location)
        return errors + self._instance_errors(settings.get("instance_type"))

    def _instance_errors(self, wanted: Any) -> list[str]:
        errors = []
        for text in wanted if isinstance(wanted, list) else [wanted]:
            if isinstance(text, str) and text.upper() != "AUTO":
                try:
                    instance_types.parse(text, allow_bare=self._switches.bare_instance_type)
                except ValueError as error:
                    errors.append(f"Execution settings: {error}.")
        return errors


def _create_task(call: Call) -> Any:
    """A draft; with `action=run` it is started if nothing stands against it.

    Documented only by the provider's client: validation errors do not make the call fail, the
    answer holds them and the task stays a draft.
    """
    body = call.object()
    _check_size(call, body)
    action = call.query.get("action")
    if action not in (None, "run"):
        raise ApiError(7013)
    project = open_project(call, _required(body, "project", 3012), "execute", _PROJECT_CODES)
    revision = _app_revision(call, _required(body, "app", 7015))
    draft = _Draft(call, project["id"], revision)
    batching = batches.requested(
        _with_batch_flag(call, body), draft.ports, draft.default_batching()
    )
    if call.flag("batch") is False:
        if action != "run":
            raise ApiError(7021)
        batching = None
    row = _new_row(call, body, project, revision)
    _apply(row, body, draft, batching)
    call.database.insert("tasks", row)
    if action == "run" and row["errors"] == "[]":
        return _start(call, _task(call, key=row["id"]))
    return _document(call, row["id"])


_PROJECT_CODES = Codes(3002, 7001)


def _required(body: dict[str, Any], key: str, code: int) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise ApiError(code, f"{key} is required and has to be a string.")
    return value


def _with_batch_flag(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """One of the provider's clients sends `batch=true` as a query parameter."""
    flag = body.get("batch")
    if flag is not None and not isinstance(flag, bool):
        raise ApiError(90000, "batch has to be true or false.")
    return {**body, "batch": True} if call.flag("batch") else body


def _check_size(call: Call, body: Any) -> None:
    if len(json.dumps(body)) > call.switches.task_json_limit:
        raise ApiError(90000, f"The task has more than {call.switches.task_json_limit} bytes.")


def _app_revision(call: Call, identifier: str) -> sqlite3.Row:
    match = _APP_ID.match(identifier)
    if match is None:
        raise ApiError(7016)
    app = call.database.one("SELECT * FROM apps WHERE id = ?", match[1])
    if app is None:
        raise ApiError(6002)
    open_project(call, app["project"], "read", APPS)
    number = app["latest"] if match[2] is None else int(match[2])
    revision = apps.find_revision(call.database, app["id"], number)
    if revision is None:
        raise ApiError(6002)
    return revision


def _new_row(
    call: Call, body: dict[str, Any], project: sqlite3.Row, revision: sqlite3.Row
) -> dict[str, Any]:
    created = now()
    label = datetime.fromtimestamp(created, UTC).strftime("%m-%d-%y %H:%M:%S")
    default = settings_of(project)["use_interruptible_instances"]
    document = apps.document_of(revision) if revision["errors"] == "[]" else {}
    if not isinstance(body.get("origin_id"), (str, type(None))):
        raise ApiError(90000, "origin_id has to be a string.")
    return {
        "id": new_uuid(),
        "project": project["id"],
        "name": f"{revision['name']} run - {label}",
        "description": "",
        "status": "DRAFT",
        "app": revision["app"],
        "revision": revision["revision"],
        "created_by": call.username,
        "executed_by": None,
        "created": created,
        "parent": None,
        "batch_group": None,
        "origin_id": body.get("origin_id"),
        "inputs": "{}",
        "outputs": json.dumps(dict.fromkeys(documents.output_ports(document))),
        "settings": "{}",
        "location": None,
        "interruptible": default,
        "message": "Draft",
        "jobs": "[]",
        "attempts": 0,
    }


def _apply(
    row: dict[str, Any],
    body: dict[str, Any],
    draft: _Draft,
    batching: Batching | None,
) -> None:
    """Take over what a body says into a draft's row, and note what stands against running it."""
    for key in ("name", "description"):
        if body.get(key) is not None:
            row[key] = _required(body, key, 90000) if key == "name" else str(body[key])
    inputs = {**json.loads(row["inputs"]), **_object(body, "inputs", 7012)}
    settings = {**json.loads(row["settings"]), **_execution_settings(body)}
    location = body.get("output_location", json.loads(row["location"] or "null"))
    if body.get("use_interruptible_instances") is not None:
        row["interruptible"] = _interruptible(body["use_interruptible_instances"])
    row["inputs"] = json.dumps(draft.reader.stored(draft.ports, inputs))
    row["settings"] = json.dumps(settings)
    row["location"] = None if location is None else json.dumps(location)
    row["batch"] = batching is not None
    row["batch_input"] = None if batching is None else batching.input
    row["batch_by"] = None if batching is None else json.dumps(batching.by)
    row["errors"] = json.dumps(draft.errors(inputs, batching, settings, location))


def _object(body: dict[str, Any], key: str, code: int) -> dict[str, Any]:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(code, f"{key} has to be an object.")
    return value


def _execution_settings(body: dict[str, Any]) -> dict[str, Any]:
    settings = _object(body, "execution_settings", 90000)
    for key, value in settings.items():
        kinds = _SETTINGS.get(key)
        if kinds is None:
            raise ApiError(90000, f"There is no execution setting {key}.")
        if value is not None and (
            not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        ):
            raise ApiError(90000, f"The execution setting {key} has the wrong type.")
    parallel = settings.get("max_parallel_instances")
    if parallel is not None and parallel < 1:
        raise ApiError(90000, "max_parallel_instances is at least 1.")
    return {key: value for key, value in settings.items() if value is not None}


def _interruptible(value: Any) -> bool:
    """Documented as a string, sent as a boolean by the provider's client."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ApiError(90000, "use_interruptible_instances has to be true or false.")


def _edit_task(call: Call) -> Any:
    """Documented: only drafts can be changed; running and completed tasks can be renamed."""
    row = _task(call, "execute")
    body = call.object()
    if row["status"] != "DRAFT":
        if row["status"] not in ("RUNNING", "COMPLETED") or set(body) != {"name"}:
            raise ApiError(7026)
        call.database.update("tasks", row["id"], {"name": _required(body, "name", 90000)})
    else:
        _edit_draft(call, row, body)
    return _document(call, row["id"])


def _edit_draft(call: Call, row: sqlite3.Row, body: dict[str, Any]) -> None:
    _check_size(call, body)
    changed = dict(row)
    revision = apps.find_revision(call.database, row["app"], row["revision"])
    if isinstance(body.get("app"), str):
        revision = _app_revision(call, body["app"])
        changed.update(app=revision["app"], revision=revision["revision"])
    if revision is None:
        raise ApiError(6002)
    draft = _Draft(call, row["project"], revision)
    batching = _batching(row)
    if {"batch", "batch_input", "batch_by"} & set(body):
        batching = batches.requested(body, draft.ports, batching or draft.default_batching())
    _apply(changed, body, draft, batching)
    call.database.update("tasks", row["id"], changed)


def _batching(row: sqlite3.Row) -> Batching | None:
    return Batching(row["batch_input"], json.loads(row["batch_by"])) if row["batch"] else None


def _get_inputs(call: Call) -> Any:
    return json.loads(_task(call)["inputs"])


def _edit_inputs(call: Call) -> Any:
    row = _task(call, "execute")
    if row["status"] != "DRAFT":
        raise ApiError(7026)
    _edit_draft(call, row, {"inputs": call.object(7012)})
    return _get_inputs(call)


def _delete_task(call: Call) -> Reply:
    row = _task(call, "execute")
    finished = call.switches.delete_finished_task and row["status"] in TERMINAL
    if row["status"] != "DRAFT" and not finished:
        raise ApiError(7010)
    call.database.run("DELETE FROM tasks WHERE id = ? OR parent = ?", row["id"], row["id"])
    return call.deleted()


# --- actions -------------------------------------------------------------------------------------


def _run_task(call: Call) -> Any:
    row = _task(call, "execute")
    if row["status"] != "DRAFT":
        raise ApiError(7010)
    interruptible = call.flag("use_interruptible_instances")
    if interruptible is not None:
        call.database.update("tasks", row["id"], {"interruptible": interruptible})
    if call.flag("batch") is False:
        if not row["batch"]:
            raise ApiError(7022)
        changes = {"batch": False, "batch_input": None, "batch_by": None}
        call.database.update("tasks", row["id"], changes)
    return _start(call, _task(call))


def _start(call: Call, row: sqlite3.Row) -> Any:
    """Check a draft once more and queue it, or let a batch make its children."""
    revision = apps.find_revision(call.database, row["app"], row["revision"])
    if revision is None:
        raise ApiError(6002)
    draft, batching = _Draft(call, row["project"], revision), _batching(row)
    inputs, settings = json.loads(row["inputs"]), json.loads(row["settings"])
    errors = draft.errors(inputs, batching, settings, json.loads(row["location"] or "null"))
    if errors:
        call.database.update("tasks", row["id"], {"errors": json.dumps(errors)})
        # Not raised: an exception would undo the note of the errors.
        refusal = ApiError(7024, f"The task cannot be started: {errors[0]}")
        return Reply(refusal.envelope(), status=refusal.status)
    started = now()
    changes = {
        "status": "QUEUED",
        "message": "Initializing...",
        "executed_by": call.username,
        "queued": started,
        "started": started,
        "errors": "[]",
    }
    if batching is not None:
        changes.update(status="CREATING", message="Batch tasks list initialization.")
    call.database.update("tasks", row["id"], changes)
    queued = _task(call, key=row["id"])
    if batching is not None:
        grouping = draft.grouping(batching, inputs)
        call.platform.in_background(batches.create_children(call.platform, queued, grouping))
    else:
        call.platform.scheduler.submit(row["id"])
    return _run_answer(call, queued)


def _run_answer(call: Call, row: sqlite3.Row) -> dict[str, Any]:
    """The documented example of the answer says RUNNING although the task only starts to wait."""
    shown = dict(row)
    if shown["status"] == "QUEUED":
        shown["status"] = call.switches.run_answer_status
    return call.render(task_fields(call.platform), shown)


def _abort_task(call: Call) -> Any:
    """Documented: possible while CREATING, QUEUED or RUNNING; a batch aborts all its children."""
    row = _task(call, "execute")
    if row["status"] not in ("CREATING", "QUEUED", "RUNNING"):
        raise ApiError(7011)
    aborted = [row]
    if row["batch"]:
        aborted += call.database.all(
            "SELECT * FROM tasks WHERE parent = ? AND status IN ('QUEUED', 'RUNNING')", row["id"]
        )
    for task in aborted:
        call.database.update("tasks", task["id"], {"status": "ABORTING", "message": "Aborting"})
        if not task["batch"]:
            call.platform.scheduler.abort(task)
    return _document(call, row["id"])


def _clone_task(call: Call) -> Any:
    """A new draft with the same content; `action=run` starts it."""
    source = _task(call, "execute")
    action = call.query.get("action")
    if action not in (None, "run"):
        raise ApiError(7013)
    revision = apps.find_revision(call.database, source["app"], source["revision"])
    project = call.database.one("SELECT * FROM projects WHERE id = ?", source["project"])
    if revision is None or project is None:
        raise ApiError(6002)
    kept = ("name", "description", "inputs", "settings", "location", "interruptible", "errors")
    row = {
        **_new_row(call, {}, project, revision),
        **{key: source[key] for key in (*kept, "batch", "batch_input", "batch_by")},
    }
    call.database.insert("tasks", row)
    if action == "run":
        return _start(call, _task(call, key=row["id"]))
    return _document(call, row["id"])


# --- questions -----------------------------------------------------------------------------------


def _get_task(call: Call) -> Any:
    return call.render(task_fields(call.platform), _task(call))


def _execution_details(call: Call) -> Any:
    row = _task(call)
    if row["batch"] and call.switches.batch_parent_execution_details == "error":
        raise ApiError(90000, "A batch task has no execution details, its children have.")
    api = call.platform.settings.api
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


_ORDERS = {
    "created_time": "created",
    "start_time": "started",
    "end_time": "ended",
    "name": "name",
    "created_by": "created_by",
}
_ID_LENGTH = 36
_LISTING_ORDERS = {"id": "id", "created": "created, id", "-created": "created DESC, id"}


def _list_tasks(call: Call) -> Reply:
    where, values = _task_filters(call)
    source = f"FROM tasks WHERE {where}"
    page = call.page
    total = call.database.value(f"SELECT count(*) {source}", *values)
    rows = call.database.all(
        f"SELECT * {source} ORDER BY {_task_order(call)} LIMIT ? OFFSET ?",
        *values,
        page.limit,
        page.offset,
    )
    fields = task_fields(call.platform)
    return call.listing([call.render(fields, row, SHORT) for row in rows], total)


def _task_filters(call: Call) -> tuple[str, list[Any]]:
    query = call.query
    where, values = _scope(call)
    if statuses := query.getlist("status"):
        if not set(statuses) <= set(STATUSES):
            raise ApiError(7006)
        where += f" AND status IN ({', '.join('?' for _ in statuses)})"
        values += statuses
    if origin := query.get("origin_id"):
        where += " AND origin_id = ?"
        values.append(origin)
    if (batch := call.flag("batch")) is not None:
        where += " AND batch = ?"
        values.append(batch)
    for column in ("created", "started", "ended"):
        for suffix, comparison in (("from", ">="), ("to", "<=")):
            if text := query.get(f"{column}_{suffix}"):
                where += f" AND {column} {comparison} ?"
                values.append(_moment(text))
    return where, values


def _scope(call: Call) -> tuple[str, list[Any]]:
    """The tasks of a project or of all that the caller sees, without or only with children."""
    where = f"project IN {READABLE_PROJECTS}"
    values: list[Any] = [call.username]
    project = call.query.get("project")
    if "owner" in call.path:
        project = f"{call.path['owner']}/{call.path['project']}"
    if project:
        open_project(call, project, "read", Codes(3002, 3001))
        where, values = "project = ?", [project]
    if parent := call.query.get("parent"):
        where += " AND parent = ?"
        values.append(_task(call, key=parent)["id"])
    elif not call.switches.listing_includes_children:
        where += " AND parent IS NULL"
    return where, values


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ApiError(90000, f"'{text}' is no date and time.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _task_order(call: Call) -> str:
    """Documented: `order` has an effect only together with `order_by`."""
    order_by = call.query.get("order_by")
    if order_by is None and call.switches.task_listing_order == "unstable":
        return f"substr(id, {1 + secrets.randbelow(_ID_LENGTH)}), id"
    if order_by is None:
        return _LISTING_ORDERS[call.switches.task_listing_order]
    direction = call.query.get("order", call.switches.task_order_default).lower()
    if order_by not in _ORDERS or direction not in ("asc", "desc"):
        raise ApiError(90000, "order_by or order is not valid.")
    return f"{_ORDERS[order_by]} {direction}, id"


def _bulk_get(call: Call) -> Any:
    keys = call.object().get("task_ids")
    if not isinstance(keys, list) or not keys or len(keys) > call.switches.bulk_max_items:
        raise ApiError(90000, f"task_ids is a list of 1 to {call.switches.bulk_max_items} ids.")
    fields = task_fields(call.platform)
    items = []
    for key in keys:
        try:
            items.append({"resource": call.render(fields, _task(call, key=key))})
        except ApiError as error:
            items.append({"error": error.envelope()})
    return {"items": items}


TASK = "/tasks/{task_id}"

ROUTES: list[Route] = [
    route("/tasks", {"GET": _list_tasks, "POST": _create_task}),
    route("/bulk/tasks/get", {"POST": _bulk_get}),
    route("/projects/{owner}/{project}/tasks", {"GET": _list_tasks}),
    route(TASK, {"GET": _get_task, "PATCH": _edit_task, "DELETE": _delete_task}),
    route(f"{TASK}/inputs", {"GET": _get_inputs, "PATCH": _edit_inputs}),
    route(f"{TASK}/execution_details", {"GET": _execution_details}),
    route(f"{TASK}/actions/run", {"POST": _run_task}),
    route(f"{TASK}/actions/abort", {"POST": _abort_task}),
    route(f"{TASK}/actions/clone", {"POST": _clone_task}),
]
