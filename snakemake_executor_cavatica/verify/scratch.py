"""The bench on which `verify-live` probes a platform: what it makes, uses and removes again.

Everything lies in one folder. Files and tasks are tiny. Whatever a probe makes is noted here, so
that it is removed even if the probe fails.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..api import (
    ApiError,
    CavaticaError,
    Client,
    Conflict,
    File,
    NotFound,
    Task,
    TaskDraft,
    download,
)
from ..api.answers import Answer
from ..api.calls import Call
from ..api.transport import Transport
from ..project.connection import Connection, is_on_this_machine

APP_NAME = "snakemake-verify-live"
IMAGE = "alpine:3.20"
LIVE = ("CREATING", "QUEUED", "RUNNING", "ABORTING")
_SERVER_ERROR = 500
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


class _Witness(Transport):
    """Remembers the status of the last answer, which callers of `send` do not see."""

    status = 0

    def _exchange(self, call: Call, url: str, params: tuple[tuple[str, str], ...]) -> Answer:
        answer = super()._exchange(call, url, params)
        self.status = answer.status
        return answer


class Bench:
    """A folder in a project, and an app, to probe with."""

    def __init__(self, connection: Connection, project: str) -> None:
        self.project = project
        self.client = Client(connection.client.endpoint, connection.token)
        self.client.transport = self._witness = _Witness(
            connection.client.endpoint, connection.token
        )
        self.is_local = is_on_this_machine(self.client.endpoint)
        self.tick = 0.05 if self.is_local else 1.1
        """Seconds after which two times of the platform surely differ."""
        self.poll = 0.3 if self.is_local else 10.0
        self.folder_name = f"{APP_NAME}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        self.tasks: dict[str, Task] = {}
        """Every task that was made and not deleted."""
        self._uploads: set[str] = set()
        self._folders: dict[str, str] = {}

    # ------------------------------------------------------------------ calls

    def ask(self, call: Call) -> tuple[int, Any]:
        """Status and document of an answer; refusals (4xx) are answers too."""
        try:
            document = self.client.transport.send(call)
        except ApiError as error:
            if error.status is None or error.status >= _SERVER_ERROR:
                raise
            return error.status, None
        return self._witness.status, document

    # ------------------------------------------------------------------ files

    @cached_property
    def folder(self) -> str:
        """The id of the folder that holds everything."""
        return self.client.create_folder(self.folder_name, project=self.project).id

    def subfolder(self, name: str) -> str:
        """The id of a folder in the folder."""
        if name not in self._folders:
            self._folders[name] = self.client.create_folder(name, parent=self.folder).id
        return self._folders[name]

    def put(
        self,
        folder: str,
        name: str,
        data: bytes,
        *,
        size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
    ) -> File:
        """Upload a small file, also with a `size` or `md5` that is not its own."""
        opened = self.client.start_upload(
            name,
            len(data) if size is None else size,
            parent=self.subfolder(folder),
            md5=md5,
            overwrite=overwrite,
        )
        self._uploads.add(opened.upload_id)
        target = self.client.upload_part_url(opened.upload_id, 1)
        headers = {key: str(value) for key, value in target.headers.items()}
        answer = self.client.transport.put_part(target.url, data, headers)
        etag = answer.headers.get("etag", "").strip('"')
        file = self.client.complete_upload(opened.upload_id, {1: {"ETag": etag}})
        self._uploads.discard(opened.upload_id)
        return file

    def open_upload(self, folder: str, name: str) -> None:
        """Open an upload and leave it open."""
        opened = self.client.start_upload(name, 1, parent=self.subfolder(folder))
        self._uploads.add(opened.upload_id)

    @cached_property
    def file(self) -> File:
        """A file with a companion whose name ends in `.idx`."""
        self.put("inputs", "probe.txt.idx", b"index\n")
        return self.put("inputs", "probe.txt", b"probe\n")

    @cached_property
    def twins(self) -> list[File]:
        """Two files of one name with different contents."""
        return [self.put(folder, "same.txt", folder.encode() + b"\n") for folder in ("b", "c")]

    def path_of(self, file_id: str) -> str:
        """The folder of a file, relative to our own folder; absolute if it lies elsewhere."""
        names: list[str] = []
        parent = self.client.get_file(file_id).parent
        while parent and parent != self.folder:
            above = self.client.get_file(parent)
            names.insert(0, above.name)
            parent = above.parent
        return "/".join(names) if parent else "/" + "/".join(names[1:])

    def read(self, file_id: str) -> str:
        """A small file's content."""
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "content")
            download(self.client, file_id, target)
            return target.read_text()

    # ------------------------------------------------------------------ tasks

    @cached_property
    def app(self) -> str:
        """The app of the probes, with its revision; stored once in a project."""
        app = f"{self.project}/{APP_NAME}"
        digest = hashlib.sha256(json.dumps(APP, sort_keys=True).encode()).hexdigest()[:16]
        document = {**APP, "sbg:revisionNotes": f"{APP_NAME} {digest}"}
        try:
            stored = self.client.get_app_raw(app)
        except NotFound:
            with suppress(Conflict):
                return self._stored(app, self.client.install_app(app, document))
            stored = self.client.get_app_raw(app)
        if stored.get("sbg:revisionNotes") == document["sbg:revisionNotes"]:
            return self._stored(app, stored)
        return self._stored(app, self.client.revise_app(app, stored["sbg:revision"] + 1, document))

    @staticmethod
    def _stored(app: str, document: Mapping[str, Any]) -> str:
        if document.get("sbg:validationErrors"):
            raise CavaticaError(f"the app is refused: {document['sbg:validationErrors']}")
        return f"{app}/{document['sbg:revision']}"

    def body(self, name: str = "probe", **changes: Any) -> TaskDraft:
        """The body of a draft; `inputs` are added to those that the app needs."""
        inputs = {"script": "true\n", "text": "text", "time_limit": 600}
        return TaskDraft(
            project=self.project,
            app=self.app,
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
        task = self.client.create_task(body)
        self.tasks[task.id] = task
        return task

    def is_accepted(self, **changes: Any) -> bool:
        """Whether such a draft is stored without complaints; it is deleted again."""
        return self.is_accepted_body(self.body(**changes))

    def is_accepted_body(self, body: TaskDraft) -> bool:
        """The same for a body."""
        try:
            task = self.create(body)
        except ApiError as error:
            if error.status is None or error.status >= _SERVER_ERROR:
                raise
            return False
        self.discard(task)
        return not task.errors

    def discard(self, task: Task) -> None:
        """Delete a task."""
        self.client.delete_task(task.id, missing_ok=True)
        self.tasks.pop(task.id, None)

    def wait(self, task: Task, seconds: float) -> Task:
        """Wait for a task's end.

        Raises:
            CavaticaError: it has not ended in this time.
        """
        end = time.monotonic() + seconds
        while True:
            now = self.client.get_task(task.id)
            if now.is_terminal:
                return now
            if time.monotonic() > end:
                raise CavaticaError(f"the task {now.name} is {now.status} after {seconds:.0f} s")
            time.sleep(self.poll)

    # ------------------------------------------------------------------ the end

    def close(self) -> list[str]:
        """Remove everything; sentences about what stays."""
        for upload in self._uploads:
            with suppress(CavaticaError):
                self.client.abort_upload(upload)
        left = self._remove_tasks()
        if "folder" in vars(self):
            left += self._remove_folder()
        if "app" in vars(self):
            left.append(
                f"The app {self.project}/{APP_NAME} stays, for the API cannot delete apps: do that "
                "on the project's Apps page."
            )
        self.client.close()
        return left

    def _remove_tasks(self) -> list[str]:
        try:
            self._note_drafts()
            self._abort_tasks()
        except CavaticaError as error:
            names = f"{len(self.tasks)} tasks (named {APP_NAME} …)"
            return [f"{names} could not be looked at; they may still run and cost money: {error}"]
        left = 0
        for task_id in self.tasks:
            try:
                self.client.delete_task(task_id, missing_ok=True)
            except CavaticaError:
                left += 1
        if not left:
            return []
        return [f"{left} tasks that have run stay (named {APP_NAME} …): they cannot be deleted."]

    def _note_drafts(self) -> None:
        """An interrupt may come between the creation of a draft and its answer."""
        for task in self.client.list_tasks(project=self.project, status="DRAFT"):
            if task.name.startswith(f"{APP_NAME} "):
                self.tasks.setdefault(task.id, task)

    def _abort_tasks(self) -> None:
        end = time.monotonic() + _ABORT_SECONDS
        asked: set[str] = set()
        while self.tasks and time.monotonic() < end:
            answers = self.client.get_tasks(self.tasks).values()
            live = [task.id for task in answers if isinstance(task, Task) and task.status in LIVE]
            if not live:
                return
            for task_id in set(live) - asked:
                with suppress(ApiError):
                    self.client.abort_task(task_id)
            asked |= set(live)
            time.sleep(self.poll)

    def _remove_folder(self) -> list[str]:
        try:
            started = self.client.start_async("delete", [{"file": self.folder}])
            self.client.wait_async("delete", started.id)
            self.client.get_file(self.folder)
        except NotFound:
            return []
        except CavaticaError as error:
            return [f"The folder {self.folder_name} could not be removed: {error}"]
        return [f"The folder {self.folder_name} could not be removed; delete it by hand."]
