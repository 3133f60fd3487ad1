"""The app of `verify-live`, and the drafts and tasks that its probes make of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from ..api import ApiError, CavaticaError, Client, Conflict, NotFound, Task, TaskDraft
from .scratch_files import APP_NAME

IMAGE = "alpine:3.20"
LIVE = ("CREATING", "QUEUED", "RUNNING", "ABORTING")
SERVER_ERROR = 500
_ABORT_SECONDS = 60.0

APP: dict[str, Any] = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "label": "Probe",
    "doc": "Made by `cavatica-local verify-live`; can be deleted.",
    "requirements": [
        {"class": "DockerRequirement", "dockerPull": IMAGE},
        {
            "class": "InitialWorkDirRequirement",
            "listing": [
                {"entryname": "probe.sh", "entry": "$(inputs.script)"},
                {"entryname": "text.txt", "entry": "$(inputs.text)"},
            ],
        },
        {"class": "ResourceRequirement", "coresMin": 1, "ramMin": 500},
    ],
    "hints": [{"class": "ToolTimeLimit", "timelimit": "$(inputs.time_limit)"}],
    "baseCommand": ["sh", "probe.sh"],
    "inputs": [
        {"id": "script", "type": "string"},
        {"id": "text", "type": "string"},
        {"id": "time_limit", "type": "int"},
        {
            "id": "one",
            "type": "File?",
            "secondaryFiles": [{"pattern": ".idx", "required": False}],
            "inputBinding": {"position": 1, "prefix": "--one"},
        },
        {"id": "many", "type": "File[]?", "inputBinding": {"position": 2}},
        {"id": "words", "type": "string[]?"},
    ],
    "outputs": [
        {"id": "report", "type": "File?", "outputBinding": {"glob": "report.txt"}},
        {"id": "placed", "type": "File?", "outputBinding": {"glob": "placed.txt"}},
        {"id": "shown", "type": "File[]?", "outputBinding": {"glob": "*.probe"}},
        {"id": "folder", "type": "Directory?", "outputBinding": {"glob": "folder"}},
    ],
}


TEXT_APP = {
    **APP,
    "outputs": [
        *APP["outputs"],
        {
            "id": "said",
            "type": "string?",
            "outputBinding": {
                "glob": "probe.sh",
                "loadContents": True,
                "outputEval": "$(self[0].contents)",
            },
        },
    ],
}
"""With an output that is text, which a platform may not take."""


class RefusedApp(CavaticaError):
    """The platform does not take a document."""


class ScratchTasks:
    """Drafts and tasks, each noted here until it is deleted."""

    def __init__(self, client: Client, project: str, poll: float) -> None:
        self._client = client
        self._project = project
        self._poll = poll
        self.made: dict[str, Task] = {}
        """Every task that was made and not deleted."""

    @cached_property
    def app(self) -> str:
        """The app of the probes, with its revision."""
        return self._app(APP)

    @cached_property
    def text_app(self) -> str:
        """Another revision of it, with an output that is text."""
        return self._app(TEXT_APP)

    def _app(self, document: Mapping[str, Any]) -> str:
        """The app with the revision that has this document; stored once in a project."""
        app = f"{self._project}/{APP_NAME}"
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
        note = f"{APP_NAME} {digest}"
        noted = {**document, "sbg:revisionNotes": note}
        try:
            newest = self._client.get_app_raw(app)
        except NotFound:
            with suppress(Conflict):
                return self._stored(app, self._client.install_app(app, noted))
            newest = self._client.get_app_raw(app)
        for info in (newest, *(newest.get("sbg:revisionsInfo") or ())):
            if info.get("sbg:revisionNotes") == note:
                number = info["sbg:revision"]
                stored = newest if info is newest else self._client.get_app_raw(f"{app}/{number}")
                return self._stored(app, stored)
        return self._stored(app, self._client.revise_app(app, newest["sbg:revision"] + 1, noted))

    @staticmethod
    def _stored(app: str, document: Mapping[str, Any]) -> str:
        if document.get("sbg:validationErrors"):
            raise RefusedApp(f"the app is refused: {document['sbg:validationErrors']}")
        return f"{app}/{document['sbg:revision']}"

    def body(self, name: str = "probe", **changes: Any) -> TaskDraft:
        """The body of a draft; `inputs` are added to those that the app needs."""
        inputs = {"script": "true\n", "text": "text", "time_limit": 600}
        return TaskDraft(
            project=self._project,
            app=changes.pop("app", None) or self.app,
            name=f"{APP_NAME} {name}",
            description="Made by `cavatica-local verify-live`.",
            inputs={**inputs, **changes.pop("inputs", {})},
            **changes,
        )

    def draft(self, name: str = "probe", **changes: Any) -> Task:
        """A draft, deleted at the end at the latest."""
        return self.create(self.body(name, **changes))

    def create(self, body: TaskDraft) -> Task:
        """Create a draft from its body."""
        task = self._client.create_task(body)
        self.made[task.id] = task
        return task

    def is_accepted(self, **changes: Any) -> bool:
        """Whether such a draft is stored without complaints; it is deleted again."""
        return self.is_accepted_body(self.body(**changes))

    def is_accepted_body(self, body: TaskDraft) -> bool:
        """The same for a body."""
        try:
            task = self.create(body)
        except ApiError as error:
            if error.status is None or error.status >= SERVER_ERROR:
                raise
            return False
        self.discard(task)
        return not task.errors

    def discard(self, task: Task) -> None:
        """Delete a task."""
        self._client.delete_task(task.id, missing_ok=True)
        self.made.pop(task.id, None)

    def wait(self, task: Task, seconds: float) -> Task:
        """Wait for a task's end.

        Raises:
            CavaticaError: it has not ended in this time.
        """
        end = time.monotonic() + seconds
        while True:
            now = self._client.get_task(task.id)
            if now.is_terminal:
                return now
            if time.monotonic() > end:
                raise CavaticaError(f"the task {now.name} is {now.status} after {seconds:.0f} s")
            time.sleep(self._poll)

    def app_left(self) -> list[str]:
        """A sentence about the app, if there is one."""
        if "app" not in vars(self):
            return []
        return [
            f"The app {self._project}/{APP_NAME} stays, for the API cannot delete apps: do that "
            "on the project's Apps page."
        ]

    def remove(self) -> list[str]:
        """Abort and delete all tasks; sentences about what stays."""
        try:
            self._note_drafts()
            self._abort_tasks()
        except CavaticaError as error:
            names = f"{len(self.made)} tasks (named {APP_NAME} …)"
            return [f"{names} could not be looked at; they may still run and cost money: {error}"]
        left = 0
        for task_id in self.made:
            try:
                self._client.delete_task(task_id, missing_ok=True)
            except CavaticaError:
                left += 1
        if not left:
            return []
        return [f"{left} tasks that have run stay (named {APP_NAME} …): they cannot be deleted."]

    def _note_drafts(self) -> None:
        """An interrupt may come between the creation of a draft and its answer."""
        for task in self._client.list_tasks(project=self._project, status="DRAFT"):
            if task.name.startswith(f"{APP_NAME} "):
                self.made.setdefault(task.id, task)

    def _abort_tasks(self) -> None:
        end = time.monotonic() + _ABORT_SECONDS
        asked: set[str] = set()
        while self.made and time.monotonic() < end:
            answers = self._client.get_tasks(self.made).values()
            live = [task.id for task in answers if isinstance(task, Task) and task.status in LIVE]
            if not live:
                return
            for task_id in set(live) - asked:
                with suppress(ApiError):
                    self._client.abort_task(task_id)
            asked |= set(live)
            time.sleep(self._poll)
