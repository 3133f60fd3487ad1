"""Drafts: what a body says, checked, becomes the row of a task."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.errors import ApiError
from cavatica_local.execution import instance_types, outputs
from cavatica_local.execution.inputs import InputReader
from cavatica_local.http.access import APPS, Codes, open_project
from cavatica_local.http.api_request import ApiRequest
from cavatica_local.services import batches
from cavatica_local.services.batches import Batching, Grouping
from cavatica_local.state.accounts import settings_of
from cavatica_local.state.app_revisions import document_of, find_revision
from cavatica_local.state.ids import new_uuid
from cavatica_local.state.task_inputs import inputs_of, stored_inputs
from cavatica_local.state.times import now

_PROJECT_CODES = Codes(3002, 7001)
_APP_ID = re.compile(r"([^/]+/[^/]+/[^/]+?)(?:/(\d+))?\Z")
_SETTINGS: dict[str, tuple[type, ...]] = {
    "instance_type": (str, list),
    "max_parallel_instances": (int,),
    "use_memoization": (bool,),
    "use_elastic_disk": (bool,),
}


class Draft:
    """A draft as it is to be stored: app, inputs and batching, checked against each other."""

    def __init__(self, request: ApiRequest, project: str, revision: sqlite3.Row) -> None:
        self._app_errors: list[str] = json.loads(revision["errors"])
        # Nothing is read from a document that is not valid: it may hold anything anywhere.
        self.document = {} if self._app_errors else document_of(revision)
        self.ports = documents.input_ports(self.document)
        self.database = request.database
        self.reader = InputReader(self.database, project)
        self._switches = request.switches

    def default_batching(self) -> Batching | None:
        """The batching that the app carries."""
        return batches.app_default(self.document, self.ports)

    def grouping(self, batching: Batching, inputs: dict[str, Any]) -> Grouping:
        """The children that the draft would have."""
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


def is_to_run(request: ApiRequest) -> bool:
    """Whether a draft is to be started as soon as it is made."""
    action = request.query.get("action")
    if action not in (None, "run"):
        raise ApiError(7013)
    return action == "run"


def create_draft(request: ApiRequest) -> dict[str, Any]:
    """Store a draft as the request's body describes it."""
    body = request.object()
    _check_size(request, body)
    runs = is_to_run(request)
    project = open_project(request, required_text(body, "project", 3012), "execute", _PROJECT_CODES)
    revision = _app_revision(request, required_text(body, "app", 7015))
    draft = Draft(request, project["id"], revision)
    batching = batches.requested(
        _with_batch_flag(request, body), draft.ports, draft.default_batching()
    )
    if request.flag("batch") is False:
        if not runs:
            raise ApiError(7021)
        batching = None
    row = _new_row(request, body, project, revision)
    _apply(row, body, draft, batching)
    request.database.insert("tasks", row)
    return row


def clone_draft(request: ApiRequest, source: sqlite3.Row) -> dict[str, Any]:
    """Store a draft with the content of another task."""
    is_to_run(request)
    revision = find_revision(request.database, source["app"], source["revision"])
    project = request.database.one("SELECT * FROM projects WHERE id = ?", source["project"])
    if revision is None or project is None:
        raise ApiError(6002)
    kept = ("name", "description", "inputs", "settings", "location", "interruptible", "errors")
    row = {
        **_new_row(request, {}, project, revision),
        **{key: source[key] for key in (*kept, "batch", "batch_input", "batch_by")},
    }
    request.database.insert("tasks", row)
    return row


def required_text(body: dict[str, Any], key: str, code: int) -> str:
    """A text that a body has to have."""
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise ApiError(code, f"{key} is required and has to be a string.")
    return value


def _with_batch_flag(request: ApiRequest, body: dict[str, Any]) -> dict[str, Any]:
    """One of the provider's clients sends `batch=true` as a query parameter."""
    flag = body.get("batch")
    if flag is not None and not isinstance(flag, bool):
        raise ApiError(90000, "batch has to be true or false.")
    return {**body, "batch": True} if request.flag("batch") else body


def _check_size(request: ApiRequest, body: Any) -> None:
    if len(json.dumps(body)) > request.switches.task_json_limit:
        raise ApiError(90000, f"The task has more than {request.switches.task_json_limit} bytes.")


def _app_revision(request: ApiRequest, identifier: str) -> sqlite3.Row:
    """The revision of an app that an id names, with or without its number."""
    match = _APP_ID.match(identifier)
    if match is None:
        raise ApiError(7016)
    app = request.database.one("SELECT * FROM apps WHERE id = ?", match[1])
    if app is None:
        raise ApiError(6002)
    open_project(request, app["project"], "read", APPS)
    number = app["latest"] if match[2] is None else int(match[2])
    revision = find_revision(request.database, app["id"], number)
    if revision is None:
        raise ApiError(6002)
    return revision


def _new_row(
    request: ApiRequest, body: dict[str, Any], project: sqlite3.Row, revision: sqlite3.Row
) -> dict[str, Any]:
    """A draft as it is before its body is looked at."""
    created = now()
    label = datetime.fromtimestamp(created, UTC).strftime("%m-%d-%y %H:%M:%S")
    default = settings_of(project)["use_interruptible_instances"]
    document = document_of(revision) if revision["errors"] == "[]" else {}
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
        "created_by": request.username,
        "executed_by": None,
        "created": created,
        "parent": None,
        "batch_group": None,
        "origin_id": body.get("origin_id"),
        "inputs": stored_inputs(request.database, {}),
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
    draft: Draft,
    batching: Batching | None,
) -> None:
    """Take over what a body says into a draft's row, and note what stands against running it."""
    for key in ("name", "description"):
        if body.get(key) is not None:
            row[key] = required_text(body, key, 90000) if key == "name" else str(body[key])
    inputs = {**inputs_of(draft.database, row["inputs"]), **_object(body, "inputs", 7012)}
    settings = {**json.loads(row["settings"]), **_execution_settings(body)}
    location = body.get("output_location", json.loads(row["location"] or "null"))
    if body.get("use_interruptible_instances") is not None:
        row["interruptible"] = _interruptible(body["use_interruptible_instances"])
    row["inputs"] = stored_inputs(draft.database, draft.reader.stored(draft.ports, inputs))
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


def edit_draft(request: ApiRequest, row: sqlite3.Row, body: dict[str, Any]) -> None:
    """Change a draft as a body says."""
    _check_size(request, body)
    changed = dict(row)
    revision = find_revision(request.database, row["app"], row["revision"])
    if isinstance(body.get("app"), str):
        revision = _app_revision(request, body["app"])
        changed.update(app=revision["app"], revision=revision["revision"])
    if revision is None:
        raise ApiError(6002)
    draft = Draft(request, row["project"], revision)
    batching = batching_of(row)
    if {"batch", "batch_input", "batch_by"} & set(body):
        batching = batches.requested(body, draft.ports, batching or draft.default_batching())
    _apply(changed, body, draft, batching)
    request.database.update("tasks", row["id"], changed)


def batching_of(row: sqlite3.Row) -> Batching | None:
    """The batching of a stored task."""
    return Batching(row["batch_input"], json.loads(row["batch_by"])) if row["batch"] else None
