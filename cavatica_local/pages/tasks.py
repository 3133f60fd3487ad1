"""The pages of projects and tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.errors import ApiError
from cavatica_local.execution.task_records import TERMINAL
from cavatica_local.pages.contents import Content, content_of
from cavatica_local.pages.values import port_values
from cavatica_local.pages.visit import Listing, Page, Visit
from cavatica_local.services.apps import get_raw
from cavatica_local.services.projects import get_project, list_projects
from cavatica_local.services.task_fields import STATUSES, open_task
from cavatica_local.services.task_listings import count_by_status, list_tasks
from cavatica_local.services.tasks import get_task

_ROW = "id,name,status,app,batch,created_time,execution_status,price"
"""Fields of a row. Not the inputs: to read those of a hundred tasks costs time, again and again."""
_NEWEST_FIRST = {"fields": _ROW, "order_by": "created_time", "order": "desc"}
_SPOKEN = {"stderr": "Standard error", "job.err.log": "Messages"}
"""Logs that tell what happened, the best first: what the tool said, and what ran it."""


@dataclass(frozen=True)
class Share:
    """How many tasks of a listing are in a status."""

    status: str
    number: int
    before: int
    """Tasks in statuses that stand before it."""


def projects(visit: Visit) -> Page:
    """The projects of a user."""
    return Page("projects.html", {"listing": visit.list(list_projects, {"fields": "_all"}, {})})


def project(visit: Visit) -> Page:
    """A project with its tasks, the newest first; all, or those in one status."""
    document = visit.ask(get_project)
    status = visit.request.query_params.get("status")
    if status not in STATUSES:
        status = None
    listing = visit.list(list_tasks, {**_NEWEST_FIRST, **({"status": status} if status else {})})
    return Page(
        "project.html",
        {"project": document, "listing": listing, "status": status, **_shares(visit, {})},
    )


def _shares(visit: Visit, query: Mapping[str, str]) -> dict[str, Any]:
    """The statuses of a listing's tasks, and whether any of them may still change."""
    counts = visit.ask(count_by_status, query=query)
    shares: list[Share] = []
    for status in STATUSES:
        if counts.get(status):
            shares.append(Share(status, counts[status], sum(share.number for share in shares)))
    return {"shares": shares, "all": sum(counts.values())}


def task(visit: Visit) -> Page:
    """One task; a batch with its children."""
    document, row = visit.ask(get_task), visit.ask(open_task)
    if document["project"] != visit.project:
        raise ApiError(7002)
    job: dict[str, Any] = next(iter(json.loads(row["jobs"])), {})
    children: Listing | None = None
    shares: dict[str, Any] = {}
    if document["batch"]:
        query = {"parent": document["id"]}
        children = visit.list(list_tasks, {**_NEWEST_FIRST, **query, "order": "asc"})
        shares = _shares(visit, query)
    values = {
        "task": document,
        "project": visit.ask(get_project),
        "is_over": document["status"] in (*TERMINAL, "DRAFT"),
        "reasons": _reasons(document),
        "job": job,
        "image": _image(visit, document["app"]),
        "inputs": port_values(visit, document["inputs"]),
        "outputs": port_values(visit, document["outputs"]),
        **_spoken(visit, job),
        "listing": children,
        "parent": _parent(visit, document),
    }
    return Page("task.html", {**values, **shares})


def _reasons(document: Mapping[str, Any]) -> list[str]:
    """Why it failed, or cannot start."""
    errors = [text for error in document["errors"] for text in error.values()]
    if document["status"] == "FAILED":
        return [document["execution_status"]["message"], *errors]
    return errors


def _image(visit: Visit, app: str) -> str:
    """The container image that the app names."""
    owner, project, name, revision = app.split("/")
    path = {"owner": owner, "project": project, "app": name, "revision": revision}
    document = visit.ask_or_none(get_raw, path) or {}
    for requirement in documents.requirements(documents.main_process(document)):
        if requirement.get("class") == "DockerRequirement":
            return str(requirement.get("dockerPull") or "")
    return ""


def _spoken(visit: Visit, job: Mapping[str, Any]) -> dict[str, Any]:
    """The end of the first log that has anything in it, and what it is."""
    logs = job.get("logs", {})
    for name, title in _SPOKEN.items():
        content = content_of(visit, logs[name], end=True) if name in logs else Content()
        if content.obstacle or content.text.strip():
            return {"spoken": content, "spoken_title": title}
    return {"spoken": None}


def _parent(visit: Visit, document: Mapping[str, Any]) -> Any:
    """The batch that a task is part of."""
    if "parent" not in document:
        return None
    return visit.ask_or_none(get_task, {"task_id": document["parent"]})
