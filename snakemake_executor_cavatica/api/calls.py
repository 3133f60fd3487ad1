"""Every call that this client makes, built without sending it.

One function per operation of the API, from plain values to a `Call`. Paths and keys are documented
by the provider, apart from the bulk and asynchronous operations, which only its clients show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from .call import PAGE, Call, get, id_path, post, segment, with_id
from .drafts import TaskDraft

AsyncKind = Literal["copy", "move", "delete"]

# A listing without `fields` gives href, id, name and project only.
FILE_FIELDS = "id,name,size,type,parent,project,created_on,modified_on,origin,metadata"

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
    return get(f"/projects/{id_path(project_id)}")


# --------------------------------------------------------------------------- tasks


def create_task(draft: TaskDraft, *, fields: str | None = None) -> Call:
    """Make a draft. Repeating it would make a second one: there is no idempotency key."""
    return post("/tasks", draft.to_body(), params={"fields": with_id(fields)})


def run_task(task_id: str, *, batch: bool | None = None, fields: str | None = None) -> Call:
    """Start a draft; `batch=False` switches off the batching that the app has by default."""
    params = {"batch": batch, "fields": with_id(fields)}
    return post(f"/tasks/{segment(task_id)}/actions/run", params=params)


def abort_task(task_id: str, *, fields: str | None = None) -> Call:
    """Abort a task. It saves money and a second abort does no harm: urgent and safe."""
    params = {"fields": with_id(fields)}
    path = f"/tasks/{segment(task_id)}/actions/abort"
    return post(path, params=params, safe=True, urgent=True)


def get_task(task_id: str, *, fields: str | None = None) -> Call:
    """One task."""
    return get(f"/tasks/{segment(task_id)}", {"fields": with_id(fields)})


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
    return Call("DELETE", f"/tasks/{segment(task_id)}", safe=True)


def execution_details(task_id: str) -> Call:
    """The jobs of a task, with their machines and logs."""
    return get(f"/tasks/{segment(task_id)}/execution_details")


# --------------------------------------------------------------------------- files


def get_file(file_id: str) -> Call:
    """One file or folder."""
    return get(f"/files/{segment(file_id)}")


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
    return post(f"/files/{segment(file_id)}/actions/copy", _named(place, name))


def delete_file(file_id: str) -> Call:
    """Delete a file or an empty folder."""
    return Call("DELETE", f"/files/{segment(file_id)}", safe=True)


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
    path = f"/files/{segment(file_id)}/metadata"
    return Call("PATCH", path, body=dict(metadata), safe=True)


def download_info(file_id: str) -> Call:
    """The signed URL of a file's content."""
    return get(f"/files/{segment(file_id)}/download_info")


def start_async(kind: AsyncKind, items: Sequence[Mapping[str, str]]) -> Call:
    """Start a background job on `{"file", "parent" or "project", "name"}` items."""
    return post(f"/async/files/{kind}", {"items": [dict(item) for item in items]})


def async_job(kind: AsyncKind, job_id: str) -> Call:
    """The state of a background job."""
    return get(f"/async/files/{kind}/{segment(job_id)}")


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
    return get(f"/upload/multipart/{segment(upload_id)}/part/{part}")


def report_parts(upload_id: str, parts: Mapping[int, Mapping[str, str]]) -> Call:
    """Tell the platform what the storage answered. Telling it twice changes nothing."""
    return post(f"/upload/multipart/{segment(upload_id)}", _reports(parts), safe=True)


def complete_upload(upload_id: str, parts: Mapping[int, Mapping[str, str]]) -> Call:
    """Turn the parts into a file, with what was not told yet (documented)."""
    return post(f"/upload/multipart/{segment(upload_id)}/complete", _reports(parts))


def _reports(parts: Mapping[int, Mapping[str, str]]) -> dict[str, Any]:
    return {
        "parts": [
            {"part_number": number, "response": {"headers": dict(headers)}}
            for number, headers in sorted(parts.items())
        ]
    }


def abort_upload(upload_id: str) -> Call:
    """Throw an unfinished upload away."""
    return Call("DELETE", f"/upload/multipart/{segment(upload_id)}", safe=True)


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


def _app(app_id: str) -> str:
    return f"/apps/{id_path(app_id)}"


def _place(*, project: str | None, parent: str | None) -> dict[str, Any]:
    """Exactly one of project and parent (the platform answers 5029 or 5031 otherwise)."""
    if parent is not None and project is None:
        return {"parent": parent}
    if project is not None and parent is None:
        return {"project": project}
    raise ValueError("give either a project or a parent folder")


def _named(body: dict[str, Any], name: str | None) -> dict[str, Any]:
    return body if name is None else {**body, "name": name}
