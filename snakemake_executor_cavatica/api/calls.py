"""Every call that this client makes, built without sending it.

One function per operation of the API, from plain values to a `Call`. Paths and keys are documented
by the provider, apart from the bulk and asynchronous operations, which only its clients show.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Literal
from urllib.parse import quote

from .fields import is_usable_id
from .models import TaskDraft

AsyncKind = Literal["copy", "move", "delete"]

# The largest page and the largest bulk call.
PAGE = 100
BULK = 100

# A listing without `fields` gives href, id, name and project only.
FILE_FIELDS = "id,name,size,type,parent,project,created_on,modified_on,origin,metadata"

# The provider's client refuses URLs of more than 6,000 characters; names get the bulk of that.
_MAX_NAMES_IN_URL = 4000


@dataclass(frozen=True)
class Call:
    """One request. `path` starts after the endpoint.

    `safe`: a second delivery changes nothing, so it may be repeated when no answer came.
    `urgent`: it may use the share of the rate limit that is kept free for other tools.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: Any = None
    safe: bool = False
    urgent: bool = False

    @cached_property
    def content(self) -> bytes:
        """The body as it is sent; without one the provider's client sends a JSON null."""
        return json.dumps(self.body).encode()

    def at(self, offset: int) -> Call:
        """The same listing, from another of its items on."""
        kept = tuple((key, value) for key, value in self.params if key != "offset")
        return replace(self, params=(*kept, ("offset", str(offset))))


def get(path: str, params: Mapping[str, Any] | None = None) -> Call:
    """A GET; parameters that are None are left out, lists are repeated."""
    return Call("GET", path, _params(params), safe=True)


def post(
    path: str,
    body: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    safe: bool = False,
    urgent: bool = False,
) -> Call:
    """A POST, by default one that must not be delivered twice."""
    return Call("POST", path, _params(params), body, safe=safe, urgent=urgent)


# --------------------------------------------------------------------------- account


def rate_limit() -> Call:
    """What is left of the token's requests."""
    return get("/rate_limit")


def user() -> Call:
    """The user whose token it is."""
    return get("/user")


def projects() -> Call:
    """The first page of the projects that the token's user is a member of."""
    return get("/projects", {"limit": PAGE, "fields": "id,name"})


def project(project_id: str) -> Call:
    """A project, by `owner/short-name`."""
    return get(f"/projects/{_path(project_id)}")


def analysis_breakdown(group: str, *, date_from: date, date_to: date) -> Call:
    """The first page of what the tasks of a billing group have cost; for its admins only.

    Whether the days, both included, are those of a task's begin or of its end is not documented.
    """
    return get(
        f"/billing/groups/{_segment(group)}/breakdown/analysis",
        {
            "date_from": date_from.strftime("%m-%d-%Y"),
            "date_to": date_to.strftime("%m-%d-%Y"),
            "limit": PAGE,
        },
    )


# --------------------------------------------------------------------------- tasks


def create_task(draft: TaskDraft, *, fields: str | None = None) -> Call:
    """Make a draft. Repeating it would make a second one: there is no idempotency key."""
    return post("/tasks", draft.to_body(), params={"fields": with_id(fields)})


def run_task(task_id: str, *, batch: bool | None = None, fields: str | None = None) -> Call:
    """Start a draft; `batch=False` switches off the batching that the app has by default."""
    params = {"batch": batch, "fields": with_id(fields)}
    return post(f"/tasks/{_segment(task_id)}/actions/run", params=params)


def abort_task(task_id: str, *, fields: str | None = None) -> Call:
    """Abort a task. It saves money and a second abort does no harm: urgent and safe."""
    params = {"fields": with_id(fields)}
    path = f"/tasks/{_segment(task_id)}/actions/abort"
    return post(path, params=params, safe=True, urgent=True)


def get_task(task_id: str, *, fields: str | None = None) -> Call:
    """One task."""
    return get(f"/tasks/{_segment(task_id)}", {"fields": with_id(fields)})


def get_tasks(task_ids: Sequence[str], *, fields: str | None = None) -> Call:
    """Up to 100 tasks at once."""
    params = {"fields": with_id(fields)}
    return post("/bulk/tasks/get", {"task_ids": list(task_ids)}, params=params, safe=True)


def list_tasks(
    *,
    project: str | None = None,
    parent: str | None = None,
    status: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    order_by: str = "created_time",
    order: str = "asc",
    fields: str | None = "_all",
) -> Call:
    """The first page of a listing of tasks. Without an order, pages may repeat or miss tasks."""
    return get(
        "/tasks",
        {
            "project": project,
            "parent": parent,
            "status": status,
            "created_from": created_from,
            "created_to": created_to,
            "order_by": order_by,
            "order": order,
            "fields": with_id(fields),
            "limit": PAGE,
        },
    )


def delete_task(task_id: str) -> Call:
    """Delete a task. Whether one that has run can be deleted is not documented."""
    return Call("DELETE", f"/tasks/{_segment(task_id)}", safe=True)


def execution_details(task_id: str) -> Call:
    """The jobs of a task, with their machines and logs."""
    return get(f"/tasks/{_segment(task_id)}/execution_details")


# --------------------------------------------------------------------------- files


def get_file(file_id: str) -> Call:
    """One file or folder."""
    return get(f"/files/{_segment(file_id)}")


def get_files(file_ids: Sequence[str]) -> Call:
    """Up to 100 files at once."""
    return post("/bulk/files/get", {"file_ids": list(file_ids)}, safe=True)


def list_files(
    *,
    project: str | None = None,
    parent: str | None = None,
    names: Sequence[str] = (),
    origin_task: str | None = None,
    fields: str | None = FILE_FIELDS,
) -> Call:
    """The first page of the folder `parent` or of the root of `project`; one level deep."""
    return get(
        "/files",
        {
            **_place(project=project, parent=parent),
            "name": list(names),
            "origin.task": origin_task,
            "fields": with_id(fields),
            "limit": PAGE,
        },
    )


def create_folder(name: str, *, parent: str | None = None, project: str | None = None) -> Call:
    """Make a folder; Conflict (code 5030) if it exists."""
    place = _place(project=project, parent=parent)
    return post("/files", {"name": name, "type": "folder", **place})


def copy_file(
    file_id: str,
    *,
    project: str | None = None,
    parent: str | None = None,
    name: str | None = None,
) -> Call:
    """Copy a file into a folder, or into another project's root. Costs no storage twice."""
    place = _place(project=project, parent=parent)
    return post(f"/files/{_segment(file_id)}/actions/copy", _named(place, name))


def delete_file(file_id: str) -> Call:
    """Delete a file or an empty folder."""
    return Call("DELETE", f"/files/{_segment(file_id)}", safe=True)


def delete_files(file_ids: Sequence[str]) -> Call:
    """Delete up to 100 files at once."""
    return post("/bulk/files/delete", {"file_ids": list(file_ids)}, safe=True)


def edit_files(items: Sequence[Mapping[str, Any]]) -> Call:
    """Edit up to 100 files: each item has `id` and some of `name`, `tags`, `metadata`.

    What an item leaves out stays as it is.
    """
    return post("/bulk/files/edit", {"items": [dict(item) for item in items]}, safe=True)


def update_metadata(file_id: str, metadata: Mapping[str, Any]) -> Call:
    """Merge `metadata` into a file's metadata."""
    path = f"/files/{_segment(file_id)}/metadata"
    return Call("PATCH", path, body=dict(metadata), safe=True)


def download_info(file_id: str) -> Call:
    """The signed URL of a file's content."""
    return get(f"/files/{_segment(file_id)}/download_info")


def start_async(kind: AsyncKind, items: Sequence[Mapping[str, str]]) -> Call:
    """Start a background job on `{"file", "parent" or "project", "name"}` items."""
    return post(f"/async/files/{kind}", {"items": [dict(item) for item in items]})


def async_job(kind: AsyncKind, job_id: str) -> Call:
    """The state of a background job."""
    return get(f"/async/files/{kind}/{_segment(job_id)}")


# --------------------------------------------------------------------------- uploads


def start_upload(
    name: str,
    size: int,
    *,
    parent: str | None = None,
    project: str | None = None,
    part_size: int | None = None,
    md5: str | None = None,
    overwrite: bool = False,
) -> Call:
    """Open a multipart upload; Conflict (code 8005) if the name is taken and not `overwrite`."""
    body = {"name": name, "size": size, **_place(project=project, parent=parent)}
    if part_size is not None:
        body["part_size"] = part_size
    if md5 is not None:
        body["md5"] = md5
    return post("/upload/multipart", body, params={"overwrite": overwrite or None})


def upload_part_url(upload_id: str, part: int) -> Call:
    """Where part number `part` (from 1) goes."""
    return get(f"/upload/multipart/{_segment(upload_id)}/part/{part}")


def report_parts(upload_id: str, parts: Mapping[int, Mapping[str, str]]) -> Call:
    """Tell the platform what the storage answered. Telling it twice changes nothing."""
    return post(f"/upload/multipart/{_segment(upload_id)}", _reports(parts), safe=True)


def complete_upload(upload_id: str, parts: Mapping[int, Mapping[str, str]]) -> Call:
    """Turn the parts into a file, with what was not told yet (documented)."""
    return post(f"/upload/multipart/{_segment(upload_id)}/complete", _reports(parts))


def _reports(parts: Mapping[int, Mapping[str, str]]) -> dict[str, Any]:
    return {
        "parts": [
            {"part_number": number, "response": {"headers": dict(headers)}}
            for number, headers in sorted(parts.items())
        ]
    }


def abort_upload(upload_id: str) -> Call:
    """Throw an unfinished upload away."""
    return Call("DELETE", f"/upload/multipart/{_segment(upload_id)}", safe=True)


# --------------------------------------------------------------------------- apps


def get_app_raw(app_id: str) -> Call:
    """The document of an app's newest revision."""
    return get(f"{_app(app_id)}/raw")


def install_app(app_id: str, document: Mapping[str, Any]) -> Call:
    """Store a new app as revision 0; Conflict (code 6003) if it exists."""
    return post(f"{_app(app_id)}/raw", dict(document))


def revise_app(app_id: str, revision: int, document: Mapping[str, Any]) -> Call:
    """Store the next revision, which must be the newest plus one; Conflict (6003) if it exists."""
    return post(f"{_app(app_id)}/{revision}/raw", dict(document))


# --------------------------------------------------------------------------- helpers


def within(parent: str | None, project: str) -> dict[str, str]:
    """Where something is or goes: the folder `parent`, or else the root of `project`."""
    return {"parent": parent} if parent else {"project": project}


def chunks(items: Iterable[str], size: int = BULK) -> list[list[str]]:
    """`items` without repetitions, cut into lists of at most `size`."""
    unique = list(dict.fromkeys(items))
    return [unique[start : start + size] for start in range(0, len(unique), size)]


def chunks_for_url(names: Iterable[str]) -> list[list[str]]:
    """`names` without repetitions, cut so that each list fits into one URL."""
    lists: list[list[str]] = [[]]
    used = 0
    for name in dict.fromkeys(names):
        cost = len(quote(name, safe="")) + len("&name=")
        if lists[-1] and used + cost > _MAX_NAMES_IN_URL:
            lists.append([])
            used = 0
        lists[-1].append(name)
        used += cost
    return [names for names in lists if names]


def with_id(fields: str | None) -> str | None:
    """A field selection that always includes the id, which every model needs."""
    if fields is None:
        return None
    wanted = fields.split(",")
    if "id" in wanted or "_all" in wanted or all(field.startswith("!") for field in wanted):
        return fields
    return f"id,{fields}"


def _params(params: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    flat: list[tuple[str, str]] = []
    for key, value in (params or {}).items():
        values = value if isinstance(value, list) else [value]
        flat.extend((key, _param(member)) for member in values if member is not None)
    return tuple(flat)


def _param(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        # A naive time would be read as some time zone or other; the platform speaks UTC.
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _segment(value: str) -> str:
    """An id as one segment of a path. An empty one would turn the call into another call."""
    if not is_usable_id(value):
        raise ValueError(f"{value!r} is not an id")
    return quote(value, safe="")


def _path(value: str) -> str:
    return "/".join(_segment(part) for part in value.split("/"))


def _app(app_id: str) -> str:
    return f"/apps/{_path(app_id)}"


def _place(*, project: str | None, parent: str | None) -> dict[str, Any]:
    """Exactly one of project and parent (the platform answers 5029 or 5031 otherwise)."""
    if parent is not None and project is None:
        return {"parent": parent}
    if project is not None and parent is None:
        return {"project": project}
    raise ValueError("give either a project or a parent folder")


def _named(body: dict[str, Any], name: str | None) -> dict[str, Any]:
    return body if name is None else {**body, "name": name}
