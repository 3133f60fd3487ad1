"""The pages of folders and files."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cavatica_local.errors import ApiError
from cavatica_local.pages.contents import content_of
from cavatica_local.pages.visit import Page, Visit
from cavatica_local.services.contents import content_response
from cavatica_local.services.file_listings import list_folder_by_name
from cavatica_local.services.file_places import path_content
from cavatica_local.services.files import get_file
from cavatica_local.services.projects import get_project
from cavatica_local.services.task_fields import open_task


def root(visit: Visit) -> Page:
    """The files and folders that a project has outside of all folders."""
    project = visit.ask(get_project)
    return _folder(visit, project, visit.ask(get_file, {"file_id": project["root_folder"]}))


def file(visit: Visit) -> Page:
    """A folder with what is in it, or a file."""
    project, document = visit.ask(get_project), _document(visit)
    if document["type"] == "FOLDER":
        return _folder(visit, project, document)
    values = {
        "file": document,
        "above": _above(visit, document),
        "content": content_of(visit, document["id"]),
        "origin": _origin(visit, document),
    }
    return Page("file.html", {"project": project, **values})


def download(visit: Visit) -> Response:
    """A file's content."""
    _document(visit)
    row = visit.ask(path_content)
    return content_response(visit.platform, row, visit.request.headers.get("range"))


def _document(visit: Visit) -> dict[str, Any]:
    """The file or folder of the path; the path names its project too."""
    document: dict[str, Any] = visit.ask(get_file)
    if document["project"] != visit.project:
        raise ApiError(5002)
    return document


def _folder(visit: Visit, project: dict[str, Any], document: dict[str, Any]) -> Page:
    path = {"file_id": document["id"]}
    listing = visit.list(list_folder_by_name, {"fields": "_all"}, path)
    above = _above(visit, document)
    values = {"project": project, "folder": document, "above": above, "listing": listing}
    return Page("folder.html", values)


def _above(visit: Visit, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The folders that it is in, from the project's own folder on; logs are in none."""
    above: list[dict[str, Any]] = []
    while "parent" in document:
        document = visit.ask(get_file, {"file_id": document["parent"]})
        above.insert(0, document)
    return above


def _origin(visit: Visit, document: dict[str, Any]) -> Any:
    """The task that has made it, as far as there is one still."""
    task = document["origin"].get("task")
    return None if task is None else visit.ask_or_none(open_task, {"task_id": task})
