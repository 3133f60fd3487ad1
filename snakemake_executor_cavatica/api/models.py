"""The shapes of the platform's JSON, as it comes from the platform.

It is read tolerantly, because its documentation is made from single examples: unknown keys are
kept, missing keys and nulls get a default, numbers may be quoted, and what is only told to the user
(prices, times, durations) turns to None rather than fail. Only the identity of a thing is required.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .fields import (
    AnyDict,
    AnyList,
    Cost,
    Document,
    Flag,
    Headers,
    Id,
    Lower,
    Moment,
    Text,
    Told,
    Truth,
    Upper,
    Whole,
    as_list,
    is_usable_id,
)

# --------------------------------------------------------------------------- input/output values


@dataclass(frozen=True)
class FileRef:
    """A file or folder as the value of a task's input or output: `path` is its platform id."""

    path: str
    class_: Literal["File", "Directory"] = "File"
    name: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it points at a folder."""
        return self.class_ == "Directory"

    def to_value(self) -> dict[str, str]:
        """The JSON value for a task's `inputs`."""
        value = {"class": self.class_, "path": self.path}
        return value if self.name is None else {**value, "name": self.name}

    @classmethod
    def from_value(cls, value: object) -> FileRef | None:
        """The reference that `value` spells out, or None if it is another kind of value.

        The name stands under `name`, or under `basename` for CWL 1.x (seen in the provider's
        client).
        """
        if not isinstance(value, Mapping) or value.get("class") not in ("File", "Directory"):
            return None
        path = value.get("path")
        if not isinstance(path, str) or not is_usable_id(path):
            return None
        name = value.get("name") or value.get("basename")
        return cls(path, value["class"], name if isinstance(name, str) else None)


def iter_files(value: object) -> Iterator[FileRef]:
    """Every file and folder in an input or output value, however nested, in document order.

    Secondary files follow their primary file.
    """
    if isinstance(value, Mapping):
        ref = FileRef.from_value(value)
        if ref is None:
            for member in value.values():
                yield from iter_files(member)
        else:
            yield ref
            yield from iter_files(value.get("secondaryFiles"))
    elif isinstance(value, list | tuple):
        for member in value:
            yield from iter_files(member)


# --------------------------------------------------------------------------- tasks (received)


class TaskStatus(StrEnum):
    """The statuses that the provider's client knows; a task may carry others."""

    DRAFT = "DRAFT"
    CREATING = "CREATING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ABORTING = "ABORTING"
    ABORTED = "ABORTED"


TERMINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.ABORTED})


class ExecutionStatus(Document):
    """Progress of a task; durations are milliseconds, the counts are a batch's children."""

    message: Text = ""
    message_code: str | None = None
    completed: Whole = None
    failed: Whole = None
    aborted: Whole = None
    queued_duration: Whole = None
    running_duration: Whole = None
    system_limit: Flag = False
    account_limit: Flag = False
    instance_init: Flag = False


class Task(Document):
    """A task. `status` is upper case; it may be one that `TaskStatus` does not know."""

    id: Id
    name: Text = ""
    description: Text = ""
    app: Told = None
    status: Upper = ""
    created_time: Moment = None
    start_time: Moment = None
    end_time: Moment = None
    batch: Flag = False
    parent: str | None = None
    execution_status: ExecutionStatus | None = None
    use_interruptible_instances: Truth = None
    price: Cost = None
    errors: AnyList = Field(default_factory=list)
    inputs: AnyDict = Field(default_factory=dict)
    outputs: AnyDict = Field(default_factory=dict)

    @property
    def known_status(self) -> TaskStatus | None:
        """The status as an enum member, or None for one that this client has never heard of."""
        return TaskStatus(self.status) if self.status in TaskStatus.__members__ else None

    @property
    def is_terminal(self) -> bool:
        """Whether the status will not change any more."""
        return self.known_status in TERMINAL

    @property
    def bare(self) -> Task:
        """Without what was sent: each child of a batch repeats the manifest of all of them."""
        return self.model_copy(update={"inputs": {}})

    @property
    def run_seconds(self) -> float | None:
        """Seconds that it ran, without the time that it waited for an instance; None if not told.

        `start_time` may be that of the queue, so the platform's own count (documented) is better.
        """
        status = self.execution_status
        if status is not None and status.running_duration is not None:
            return status.running_duration / 1000
        if self.start_time is None or self.end_time is None:
            return None
        return (self.end_time - self.start_time).total_seconds()

    @property
    def error_texts(self) -> list[str]:
        """The entries of `errors` as text (the shape of an entry is not documented)."""
        return [_as_text(entry) for entry in self.errors if entry is not None]


def _as_text(entry: object) -> str:
    if isinstance(entry, Mapping):
        for key in ("message", "error"):
            if entry.get(key):
                return str(entry[key])
    return str(entry)


_STDERR_LOGS = ("stderr", "job.err.log")


class TaskJob(Document):
    """One job inside a task. `logs` maps a log's name to the URL of its file's download_info."""

    start_time: Moment = None
    end_time: Moment = None
    logs: AnyDict = Field(default_factory=dict)

    def log_file_id(self, name: str) -> str | None:
        """The id of the log called `name`, from its `…/files/<id>/download_info` URL."""
        parts = str(self.logs.get(name) or "").partition("?")[0].split("/")
        if "files" not in parts[:-1]:
            return None
        file_id = parts[parts.index("files") + 1]
        return file_id if is_usable_id(file_id) else None


class ExecutionDetails(Document):
    """What happened while a task ran (documented as an early release, subject to change)."""

    message: Text = ""
    jobs: Annotated[list[TaskJob], BeforeValidator(as_list)] = Field(default_factory=list)

    @property
    def stderr_file_id(self) -> str | None:
        """The id of the file with the stderr of the last job that has one."""
        logs = (job.log_file_id(name) for job in reversed(self.jobs) for name in _STDERR_LOGS)
        return next((file_id for file_id in logs if file_id is not None), None)


# --------------------------------------------------------------------------- files


class Origin(Document):
    """Where a file comes from: the id of the task that wrote it."""

    task: str | None = None


class File(Document):
    """A file or folder. `type` is lower case; `size` is in bytes and None for folders."""

    id: Id
    name: Text = ""
    size: Whole = None
    type: Lower = ""
    parent: str | None = None
    project: str | None = None
    created_on: Moment = None
    modified_on: Moment = None
    origin: Origin | None = None
    metadata: AnyDict = Field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder."""
        return self.type == "folder"

    @property
    def origin_task(self) -> str | None:
        """The id of the task that produced this file, if one did."""
        return (self.origin.task or None) if self.origin else None


class UploadInit(Document):
    """An upload that the platform has opened. It may have changed `part_size` (bytes)."""

    upload_id: Id
    part_size: Whole = None
    parallel_uploads: Flag = True


class PartReport(Document):
    """What of the storage's answer must be told to the platform."""

    success_codes: AnyList = Field(default_factory=lambda: [200])
    headers: AnyList = Field(default_factory=lambda: ["ETag"])


class PartUrl(Document):
    """Where one part of an upload goes. The URL is signed, so it is not shown in the repr."""

    url: Annotated[str, Field(repr=False)]
    headers: Annotated[Headers, Field(repr=False)] = Field(default_factory=dict)
    report: PartReport | None = None


class BulkItem(Document):
    """One entry of a bulk answer: a resource or an error envelope."""

    resource: Any = None
    error: dict[str, Any] | None = None


class AsyncJob(Document):
    """A job that copies, moves or deletes files and folders in the background."""

    id: Id
    state: Upper = ""
    result: Annotated[list[BulkItem], BeforeValidator(as_list)] = Field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether the job has ended; `result` tells how."""
        return self.state == "FINISHED"


# --------------------------------------------------------------------------- projects, limits


class User(Document):
    """The owner of a token, or a member of a project."""

    username: Id


class Permissions(Document):
    """What the token's owner may do in a project (meanings are documented)."""

    write: Flag = False
    copy_: Annotated[Flag, Field(alias="copy")] = False
    execute: Flag = False


class Project(Document):
    """A project; `id` is `owner/short-name`, `root_folder` the id of its topmost folder."""

    id: Id
    name: Told = None
    category: Upper = ""
    root_folder: str | None = None
    created_by: Text = ""
    billing_group: Told = None
    permissions: Permissions | None = None
    settings: AnyDict = Field(default_factory=dict)


class Rate(Document):
    """Requests in the current window."""

    limit: Whole = None
    remaining: Whole = None


class RateLimit(Document):
    """The answer of GET /rate_limit."""

    rate: Rate | None = None
