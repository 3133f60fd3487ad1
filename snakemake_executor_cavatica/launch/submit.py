"""From a plan to a running task: app, draft, start."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..api import (
    ApiError,
    BadRequest,
    CavaticaError,
    Client,
    Conflict,
    FileRef,
    NotFound,
    Task,
    TaskDraft,
    TaskStatus,
)
from ..api.errors import as_int
from ..api.once import A_MOMENT, may_have_worked, once, some_tries
from ..plan.plan import JobPlan
from ..project.paths import Place, ProjectPath
from ..translate.app import NOTE, app_document, app_name, document_hash, is_ours
from ..translate.batch import Batch
from ..translate.draft import Work, task_draft, work_of_job
from ..translate.job_key import TaskMark, run_of, several, told_scope
from ..translate.pack import Pack
from ..translate.task_name import shared_task_name

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 2.0
"""Seconds."""


def _description(plan: JobPlan, mark: TaskMark) -> str:
    return f"{mark}: {plan.title}. Runs in {plan.mode} mode because {plan.reason}."


def _way_out(refusal: str) -> str:
    """Where what the platform refuses has been said, as another sentence."""
    if "instance" not in refusal.lower():
        return ""
    return (
        " Instance types are named by the resource cavatica_instance_type or by "
        "--cavatica-instance-type; without them the plugin chooses."
    )


class RefusedApp(CavaticaError):
    """The platform has stored an app's document, and says that it is not valid."""


class ForeignApp(CavaticaError):
    """An app has a name that we need, and is somebody else's."""


def refuse_foreign_app(app: str, raw: Mapping[str, Any]) -> None:
    """See that an app may get a revision of ours; `raw` is its newest document.

    Raises:
        ForeignApp: somebody else has made it.
    """
    if not is_ours(raw):
        raise ForeignApp(
            f"The app {app} of the project is somebody else's, and must not be changed. Rename "
            "the rule, or the app, or take another project."
        )


class Apps:
    """The apps of one project, by document. Safe to use from several threads."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._project = project
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._revisions: dict[str, dict[str, int]] = {}
        self._is_measuring_refused = False

    def ensure(self, plan: JobPlan, *, packed: bool = False) -> str:
        """The app of a job, as owner/project/name/revision; stored if it is new or has changed.

        Args:
            packed: whether it is for tasks of several such jobs.

        Raises:
            CavaticaError: the platform does not take the document, or does not say whether.
        """
        document = app_document(plan, packed=packed)

        def store(app: str) -> int:
            return self._store_new(app, document, plan, packed=packed)

        return self._ensure(app_name(plan.facts.rule), document, store)

    def ensure_document(self, name: str, document: dict[str, Any]) -> str:
        """The same for a document that is no rule's, as the app of this name.

        Raises:
            CavaticaError: the platform does not take it, or does not say whether.
        """
        wanted = [document_hash(document)]
        return self._ensure(name, document, lambda app: self._store_once(app, document, wanted))

    def _ensure(self, name: str, document: dict[str, Any], store: Callable[[str], int]) -> str:
        app = f"{self._project}/{name}"
        with self._guard:
            lock = self._locks[app]
        with lock:
            if app not in self._revisions:
                self._revisions[app] = self._stored(app)
            revision = self._revisions[app].get(document_hash(document))
            return f"{app}/{store(app) if revision is None else revision}"

    def _store_new(self, app: str, document: dict[str, Any], plan: JobPlan, *, packed: bool) -> int:
        """Store a document, or else what there is in it without measuring, which then stands for
        both: what is refused once is not tried again.
        """
        wanted = document_hash(document)
        reason: CavaticaError | None = None
        if not (plan.measured and self._is_measuring_refused):
            try:
                return self._store_once(app, document, [wanted])
            except (BadRequest, RefusedApp) as error:
                if not plan.measured:
                    raise
                reason = error
        bare = app_document(replace(plan, measured=False), packed=packed)
        revision = self._store_once(app, bare, [document_hash(bare), wanted])
        if reason is not None:
            self._is_measuring_refused = True
            logger.debug("Tasks cannot tell what they take: the platform refuses it. %s", reason)
        return revision

    def _store_once(self, app: str, document: dict[str, Any], wanted: Sequence[str]) -> int:
        """Store a document, to be known by these hashes."""

        def look() -> int | None:
            self._revisions[app] = self._stored(app)
            return self._revisions[app].get(wanted[-1])

        try:
            return once(
                lambda: self._store(app, document, wanted),
                some_tries(self._client.stop, A_MOMENT),
                look=look,
                # Another run has just stored a revision, maybe the very same document.
                unclear=lambda error: isinstance(error, Conflict) or may_have_worked(error),
            )
        except Conflict as error:
            raise CavaticaError(
                f"The app {app} is being changed by somebody else all the time; try again later."
            ) from error

    def _stored(self, app: str) -> dict[str, int]:
        """Revision by document hash, from the notes that we leave with each revision."""
        try:
            raw = self._client.get_app_raw(app)
        except NotFound:
            return {}
        refuse_foreign_app(app, raw)
        latest = as_int(raw.get("sbg:latestRevision")) or as_int(raw.get("sbg:revision")) or 0
        revisions = {"": latest}
        infos = raw.get("sbg:revisionsInfo")
        for info in infos if isinstance(infos, list) else []:
            note = str(info.get("sbg:revisionNotes") or "") if isinstance(info, dict) else ""
            number = as_int(info.get("sbg:revision")) if note.startswith(NOTE) else None
            if number is not None:
                for digest in note.removeprefix(NOTE).split():
                    revisions[digest] = max(number, revisions.get(digest, 0))
        if raw.get("sbg:validationErrors"):
            # The newest revision was refused; storing it again tells why.
            revisions = {note: number for note, number in revisions.items() if number != latest}
            revisions[""] = latest
        return revisions

    def _store(self, app: str, document: dict[str, Any], wanted: Sequence[str]) -> int:
        revisions = self._revisions[app]
        noted = {**document, "sbg:revisionNotes": " ".join([NOTE, *wanted])}
        if revisions:
            stored = self._client.revise_app(app, max(revisions.values()) + 1, noted)
        else:
            stored = self._client.install_app(app, noted)
        revision = as_int(stored.get("sbg:revision"))
        if revision is None:
            revision = as_int(str(stored.get("sbg:id")).rsplit("/", 1)[-1])
        if revision is None:
            raise CavaticaError(f"The platform does not tell the revision of the app {app}.")
        problems = stored.get("sbg:validationErrors")
        if problems:
            revisions[""] = revision
            raise RefusedApp(f"The platform does not accept the app {app}/{revision}: {problems}")
        revisions |= dict.fromkeys(wanted, revision)
        return revision


class Submitter:
    """Starts tasks in one project. Safe to use from several threads."""

    def __init__(
        self,
        client: Client,
        run_id: str,
        run_folder: ProjectPath,
        scope: Callable[[], str] = lambda: "",
    ) -> None:
        """`scope` tells what only one run at a time may work on, once that is known."""
        self._scope = scope
        self._drafts: set[str] = set()
        """Created, and neither known to run nor deleted."""
        self._is_unclear = False
        """Whether there may be more of them, whose creation was never answered."""
        self._client = client
        self._run_id = run_id
        self._run_folder = run_folder
        self._apps = Apps(client, run_folder.project)

    def draft(
        self,
        plan: JobPlan,
        name: str,
        mark: TaskMark,
        sources: FileRef,
        files: Mapping[Place, FileRef],
    ) -> TaskDraft:
        """The draft task of a job; its app is stored on the way."""
        return self._draft(work_of_job(plan, files), name, _description(plan, mark), sources)

    def batch_draft(self, batch: Batch, name_of_one: str, sources: FileRef) -> TaskDraft:
        """The draft task of a batch; its app is stored on the way.

        `name_of_one` is what the task is called if the batch has one job only.
        """
        plans = [member.plan for member in batch.members]
        marks = [member.candidate.mark for member in batch.members]
        if len(plans) == 1:
            name, description = name_of_one, _description(plans[0], marks[0])
        else:
            name, description = self._described("batch", plans[0], marks)
        return self._draft(batch.work, name, description, sources)

    def pack_draft(self, pack: Pack, sources: FileRef) -> TaskDraft:
        """The draft task of a pack; its app is stored on the way."""
        marks = [member.mark for member in pack.members]
        name, description = self._described("pack", pack.members[0].plan, marks)
        return self._draft(pack.work, name, description, sources)

    def _draft(self, work: Work, name: str, description: str, sources: FileRef) -> TaskDraft:
        return task_draft(
            work,
            name=name,
            description=description + told_scope(self._scope()),
            app=self._apps.ensure(work.plan, packed=work.packed),
            run_folder=self._run_folder,
            sources=sources,
        )

    def _described(self, kind: str, plan: JobPlan, marks: Sequence[TaskMark]) -> tuple[str, str]:
        """Name and description of a task for several jobs; the latter is unique."""
        name = shared_task_name(plan, len(marks))
        return name, (
            f"{several(self._run_id, marks)}: {kind} {uuid.uuid4().hex[:8]} of {name}, which run "
            f"in {plan.mode} mode because {plan.reason}."
        )

    def create(self, draft: TaskDraft) -> Task:
        """Create the draft on the platform, once, even if its answer gets lost.

        Raises:
            CavaticaError: the platform refuses the draft, or does not answer at all.
        """
        task = self._create(draft)
        self._drafts.add(task.id)
        if task.errors:
            self._discard(task)
            why = "; ".join(task.error_texts)
            raise CavaticaError(
                f"The platform refuses the task {task.name!r}: {why}{_way_out(why)}"
            )
        return task

    def _create(self, draft: TaskDraft) -> Task:
        def create() -> Task:
            try:
                return self._client.create_task(draft)
            except ApiError as error:
                self._is_unclear = self._is_unclear or may_have_worked(error)
                raise

        policy = some_tries(self._client.stop, _LOOK_AGAIN)
        return once(create, policy, look=lambda: self._find(draft))

    @property
    def may_have_left_drafts(self) -> bool:
        """Whether there may be tasks of this run that were never started."""
        return self._is_unclear or bool(self._drafts)

    def sweep(self, client: Client, runs: Collection[str]) -> None:
        """Delete drafts of these runs, which have ended and may never have heard of them.

        Raises:
            CavaticaError: they cannot be found or deleted.
        """
        drafts = client.list_tasks(
            project=self._run_folder.project, status="DRAFT", fields="id,description"
        )
        for task in list(drafts):
            if run_of(task) in runs:
                client.delete_task(task.id, missing_ok=True)

    def run(self, task: Task, *, batch: bool | None = None) -> Task:
        """Start a draft, once: after a lost answer its status tells whether it was started.

        With `batch=False` the draft of a batch becomes one task without children.

        Raises:
            CavaticaError: the platform refuses to run it, and the draft is deleted; or it cannot
                be told whether the task runs, after a NoAnswer or ServerError.
        """
        started = self._run(task, batch=batch)
        self._drafts.discard(task.id)
        return started

    def _run(self, task: Task, *, batch: bool | None) -> Task:
        def started() -> Task | None:
            # A start that is still being worked on looks like a draft.
            current = self._client.get_task(task.id)
            return None if current.status == TaskStatus.DRAFT else current

        def start() -> Task:
            try:
                return self._client.run_task(task.id, batch=batch)
            except ApiError as error:
                if may_have_worked(error):
                    raise
                current = started()
                if current is not None:
                    return current  # refused because it runs already
                self._discard(task)
                raise

        return once(start, some_tries(self._client.stop, _LOOK_AGAIN), look=started)

    def _discard(self, task: Task) -> None:
        """Delete a draft; that it stays is no reason to hide why it is not wanted."""
        with suppress(CavaticaError):
            self._client.delete_task(task.id, missing_ok=True)
            self._drafts.discard(task.id)

    def _find(self, draft: TaskDraft) -> Task | None:
        """The task that an earlier, unanswered call may have created; descriptions are unique."""
        for task in self._client.list_tasks(
            project=draft.project, status="DRAFT", order_by="created_time", order="desc"
        ):
            if task.description == draft.description:
                return task
        return None
