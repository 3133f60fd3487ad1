"""The API as methods: builds a call, sends it, reads the answer as a model.

    with Client(credentials.endpoint, credentials.token) as client:
        task = client.create_task(TaskDraft(project="owner/project", app="owner/project/app"))
        task = client.run_task(task.id)

Every method raises an `ApiError` of `errors`. After `NoAnswer` or `ServerError` from a method that
makes or starts something, look up whether it happened before doing it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from . import calls
from .answers import Model, parse, parse_bulk, parse_bulk_outcome, unexpected
from .budget import Rank, RateBudget
from .call import Call, chunks, chunks_for_url
from .calls import AsyncKind
from .credentials import Token
from .drafts import TaskDraft
from .errors import ApiError, NotFound
from .listing import Listing
from .models import (
    AsyncJob,
    ExecutionDetails,
    File,
    PartUrl,
    Project,
    RateLimit,
    Task,
    UploadInit,
    User,
)
from .retry import Patience
from .stop import Stop
from .traffic import Traffic
from .transport import Transport
from .workers import FILES_AT_ONCE, PARTS_AT_ONCE, Workers


class Client:
    """One endpoint with one token; safe to share between threads.

    All clients of a process that share endpoint and token also share one `RateBudget`, unless
    `budget` gives another.
    """

    def __init__(
        self,
        endpoint: str,
        token: Token,
        *,
        budget: RateBudget | None = None,
        patience: Patience | None = None,
        rank: Rank = Rank.WORK,
    ) -> None:
        self.transport = Transport(endpoint, token, budget=budget, patience=patience, rank=rank)
        # Apart, because files wait for their parts, which wait for nothing.
        self.traffic = Traffic()
        self.files = Workers(FILES_AT_ONCE)
        self.parts = Workers(PARTS_AT_ONCE)
        self.listing = Listing(self.transport, self.parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.endpoint!r})"

    @property
    def endpoint(self) -> str:
        """The API's base URL, without a trailing slash."""
        return self.transport.endpoint

    @property
    def budget(self) -> RateBudget:
        """What is left of the rate limit."""
        return self.transport.budget

    @property
    def stop(self) -> Stop:
        """Once it is set nothing is sent any more; what is part of the work has a child of it."""
        return self.transport.stop

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()

    # ------------------------------------------------------------------ account

    def rate_limit(self) -> RateLimit:
        """Requests and instances that are left."""
        return self.one(RateLimit, calls.rate_limit())

    def user(self) -> User:
        """The user whose token it is."""
        return self.one(User, calls.user())

    def projects(self) -> Iterator[Project]:
        """The projects that the user is a member of, with id and name alone."""
        return self.listing.documents(Project, calls.projects())

    def project(self, project_id: str) -> Project:
        """A project by `owner/short-name`."""
        return self.one(Project, calls.project(project_id))

    # ------------------------------------------------------------------ tasks

    def create_task(self, draft: TaskDraft, *, fields: str | None = None) -> Task:
        """Make a draft. After NoAnswer it may exist: look for its name before another try."""
        return self.one(Task, calls.create_task(draft, fields=fields))

    def run_task(
        self, task_id: str, *, batch: bool | None = None, fields: str | None = None
    ) -> Task:
        """Start a draft; BadRequest with code 7024 if its inputs do not validate.

        `batch=False` switches off batching, also the app's own.
        """
        return self.one(Task, calls.run_task(task_id, batch=batch, fields=fields))

    def abort_task(self, task_id: str, *, fields: str | None = None) -> Task | None:
        """Abort a task that is queued or running; None if the platform answers without a task.

        May use the part of the rate limit that is kept free.
        """
        call = calls.abort_task(task_id, fields=fields)
        document = self.transport.send(call)
        # The documented example predates the present task format, so the answer may be anything.
        if isinstance(document, dict) and isinstance(document.get("id"), str):
            return parse(call, Task, document)
        return None

    def get_task(self, task_id: str, *, fields: str | None = None) -> Task:
        """One task."""
        return self.one(Task, calls.get_task(task_id, fields=fields))

    def get_tasks(
        self, ids: Iterable[str], *, fields: str | None = None
    ) -> dict[str, Task | ApiError]:
        """Many tasks, 100 to a request; what cannot be had is an ApiError in the dict."""
        return self._bulk(Task, ids, lambda chunk: calls.get_tasks(chunk, fields=fields))

    def list_tasks(
        self,
        *,
        project: str | None = None,
        parent: str | None = None,
        status: str | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        order_by: str = "created_time",
        order: str = "asc",
        fields: str | None = "_all",
    ) -> Iterator[Task]:
        """The tasks that match, page by page; `parent` lists the children of a batch task."""
        call = calls.list_tasks(
            project=project,
            parent=parent,
            status=status,
            created_from=created_from,
            created_to=created_to,
            order_by=order_by,
            order=order,
            fields=fields,
        )
        return self.listing.documents(Task, call)

    def delete_task(self, task_id: str, *, missing_ok: bool = False) -> None:
        """Delete a task; `missing_ok` forgives one that is gone already."""
        self._delete(calls.delete_task(task_id), missing_ok)

    def execution_details(self, task_id: str) -> ExecutionDetails:
        """The jobs inside a task, with machines and logs."""
        return self.one(ExecutionDetails, calls.execution_details(task_id))

    # ------------------------------------------------------------------ files

    def get_file(self, file_id: str) -> File:
        """One file or folder."""
        return self.one(File, calls.get_file(file_id))

    def get_files(self, ids: Iterable[str]) -> dict[str, File | ApiError]:
        """Many files, 100 to a request; what cannot be had is an ApiError in the dict."""
        return self._bulk(File, ids, calls.get_files)

    def list_files(
        self,
        *,
        project: str | None = None,
        parent: str | None = None,
        names: Iterable[str] | None = None,
        origin_task: str | None = None,
        fields: str | None = calls.FILE_FIELDS,
    ) -> Iterator[File]:
        """The files and folders in a project's root or in the folder `parent`, one level deep.

        `names` restricts to exact names, `origin_task` to what one task produced. An empty `names`
        matches nothing; None matches all.
        """
        chunks = [[]] if names is None else chunks_for_url(names)
        for chunk in chunks:
            call = calls.list_files(
                project=project,
                parent=parent,
                names=chunk,
                origin_task=origin_task,
                fields=fields,
            )
            yield from self.listing.documents(File, call, ahead=True)

    def list_if_few(self, most: int, **where: str) -> Iterator[File]:
        """The files and folders that are `within` a place.

        Raises:
            ManyItems: there are more than `most`, if the platform tells their number.
        """
        call = calls.list_files(fields=calls.FILE_FIELDS, **where)
        return self.listing.documents(File, call, ahead=True, most=most)

    def create_folder(
        self, name: str, *, parent: str | None = None, project: str | None = None
    ) -> File:
        """Make a folder; Conflict with code 5030 if it exists."""
        return self.one(File, calls.create_folder(name, parent=parent, project=project))

    def copy_file(
        self,
        file_id: str,
        *,
        project: str | None = None,
        parent: str | None = None,
        name: str | None = None,
    ) -> File:
        """Copy a file to the root of `project` or to the folder `parent`; the copy has a new id.

        If the name is taken, the platform may give the copy another: read it from the result.
        """
        call = calls.copy_file(file_id, project=project, parent=parent, name=name)
        return self.one(File, call)

    def delete_file(self, file_id: str, *, missing_ok: bool = False) -> None:
        """Delete a file or an empty folder; `missing_ok` forgives one that is gone already."""
        self._delete(calls.delete_file(file_id), missing_ok)

    def delete_files(self, ids: Iterable[str]) -> dict[str, ApiError | None]:
        """Delete many files, 100 to a request; None stands for success.

        After a repeated request, files that the first one deleted may be reported as NotFound.
        """
        outcomes: dict[str, ApiError | None] = {}
        for chunk in chunks(ids):
            call = calls.delete_files(chunk)
            outcomes |= parse_bulk_outcome(call, chunk, self.transport.send(call))
        return outcomes

    def edit_files(self, items: Sequence[Mapping[str, Any]]) -> dict[str, File | ApiError]:
        """Change `name`, `tags` or `metadata` of many files, each named by its `id`.

        Keys that an item leaves out are not changed. Raises ValueError if an id comes twice.
        """
        by_id = {str(item["id"]): item for item in items}
        if len(by_id) != len(items):
            raise ValueError("a file is edited twice")
        return self._bulk(
            File, by_id, lambda chunk: calls.edit_files([by_id[file_id] for file_id in chunk])
        )

    def update_metadata(self, file_id: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `metadata` into a file's and return the result."""
        return self._object(calls.update_metadata(file_id, metadata))

    def download_url(self, file_id: str) -> str:
        """A signed URL of the file's content: whoever holds it can read the file for a while."""
        call = calls.download_info(file_id)
        url = self._object(call).get("url")
        if not isinstance(url, str) or not url:
            raise unexpected(call, "there is no URL to download from")
        return url

    def start_async(self, kind: AsyncKind, items: Sequence[Mapping[str, str]]) -> AsyncJob:
        """Start a background job that copies, moves or deletes files and whole folders.

        Items are `{"file": id, "parent" or "project": target, "name": new name}`; for a delete
        only `file`.
        """
        return self.one(AsyncJob, calls.start_async(kind, items))

    def async_job(self, kind: AsyncKind, job_id: str) -> AsyncJob:
        """The state of a background job."""
        return self.one(AsyncJob, calls.async_job(kind, job_id))

    # ------------------------------------------------------------------ uploads

    def start_upload(
        self,
        name: str,
        size: int,
        *,
        parent: str | None = None,
        project: str | None = None,
        part_size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
    ) -> UploadInit:
        """Open a multipart upload of `size` bytes. The platform may choose another part size."""
        call = calls.start_upload(
            name,
            size,
            parent=parent,
            project=project,
            part_size=part_size,
            md5=md5,
            overwrite=overwrite,
        )
        return self.one(UploadInit, call)

    def upload_part_url(self, upload_id: str, part: int) -> PartUrl:
        """Where part number `part` (from 1) goes."""
        return self.one(PartUrl, calls.upload_part_url(upload_id, part))

    def report_parts(self, upload_id: str, parts: Mapping[int, Mapping[str, str]]) -> None:
        """Tell the platform what the storage answered to parts: their numbers to headers."""
        self.transport.send(calls.report_parts(upload_id, parts))

    def complete_upload(self, upload_id: str, parts: Mapping[int, Mapping[str, str]]) -> File:
        """Turn the parts into a file; `parts` are those that were not reported yet."""
        return self.one(File, calls.complete_upload(upload_id, parts))

    def abort_upload(self, upload_id: str) -> None:
        """Throw an unfinished upload away."""
        self._delete(calls.abort_upload(upload_id), missing_ok=True)

    # ------------------------------------------------------------------ apps

    def get_app_raw(self, app_id: str) -> dict[str, Any]:
        """The document of an app's newest revision."""
        return self._object(calls.get_app_raw(app_id))

    def install_app(self, app_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Store a new app; returns the stored document, whose `sbg:id` holds the revision.

        Conflict with code 6003 if there is such an app.
        """
        return self._object(calls.install_app(app_id, document))

    def revise_app(self, app_id: str, revision: int, document: Mapping[str, Any]) -> dict[str, Any]:
        """Store revision number `revision`, which must be the newest plus one.

        Conflict with code 6003 if somebody else was faster.
        """
        return self._object(calls.revise_app(app_id, revision, document))

    # ------------------------------------------------------------------ helpers

    def one(self, model: type[Model], call: Call) -> Model:
        """What answers a call."""
        return parse(call, model, self.transport.send(call))

    def _bulk(
        self,
        model: type[Model],
        ids: Iterable[str],
        build: Callable[[Sequence[str]], Call],
    ) -> dict[str, Model | ApiError]:
        found: dict[str, Model | ApiError] = {}
        for chunk in chunks(ids):
            call = build(chunk)
            found |= parse_bulk(call, model, chunk, self.transport.send(call))
        return found

    def _object(self, call: Call) -> dict[str, Any]:
        document = self.transport.send(call)
        if not isinstance(document, dict):
            raise unexpected(call, "the answer is not a JSON object")
        return document

    def _delete(self, call: Call, missing_ok: bool) -> None:
        try:
            self.transport.send(call)
        except NotFound:
            if not missing_ok:
                raise
