"""Tasks that several jobs share: batches, whose children they are, and packs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ..api import ApiError, CavaticaError, File, Task, TaskStatus
from ..project.content import label_note, modified
from ..run.context import RunContext
from ..run.register import Submission
from ..run.stopping import has_ended, stop_all
from ..run.tasks_of_runs import children_of
from ..translate.batch import METADATA_KEY, Batch, group
from ..translate.candidate import Candidate
from ..translate.pack import Pack, pack_jobs
from ..translate.shared_task import packed_job_id, packed_job_of
from .launcher import Launcher
from .stage import InputStager
from .submit import Submitter

_CHILD_FIELDS = "id,name,description,status,parent,app,inputs"
_STOPPING = 60.0
"""Seconds to see that a batch that is of no use has ended."""


class SharedTasks:
    """Starts jobs together. Safe to use from several threads."""

    def __init__(
        self, run: RunContext, stager: InputStager, submitter: Submitter, launcher: Launcher
    ) -> None:
        self._run = run
        self._client = run.connection.client
        self._stager = stager
        self._submitter = submitter
        self._launcher = launcher
        self._labelling = threading.Lock()
        """Held while a batch by criteria is made: a file has one label at a time."""

    def plan_batches(self, candidates: Sequence[Candidate]) -> list[Batch]:
        """Which of the jobs go into which batch.

        Raises:
            CavaticaError: their files cannot be looked up.
        """
        wanted = [candidate for candidate in candidates if candidate.plan.batched]
        grouping = group(self._with_names(wanted))
        self._tell("batch", wanted, grouping.alone)
        return grouping.batches

    def plan_packs(self, candidates: Sequence[Candidate]) -> list[Pack]:
        """Which of the jobs share which task."""
        packs, alone = pack_jobs(candidates)
        self._tell("pack", candidates, alone)
        return packs

    def _tell(self, kind: str, candidates: Sequence[Candidate], alone: Mapping[str, str]) -> None:
        """Say why jobs are in none of a kind."""
        for one in candidates:
            if one.mark.jobid in alone:
                reason = alone[one.mark.jobid]
                self._run.logger.debug(f"{one.plan.title}: no {kind}, because {reason}.")

    def _with_names(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        ids = {ref.path for one in candidates for ref in one.files.values() if not ref.is_folder}
        names = self._run.index.names(ids)
        documents = self._client.get_files(ids - names.keys())
        names |= {file: one.name for file, one in documents.items() if isinstance(one, File)}
        return [replace(candidate, names=names) for candidate in candidates]

    def start_batch(self, submissions: Sequence[Submission], batch: Batch) -> set[str]:
        """Start jobs as the children of one task; the ids of those that have to start alone.

        Raises:
            CavaticaError: it is not known whether the batch runs, and it cannot be stopped.
        """
        if not self._run.limit.allows(*submissions):
            return set()
        if not batch.by_criteria:
            return self._start_batch(submissions, batch)
        with self._labelling:
            problem = self._label(batch)
            if problem is not None:
                return self._refused(batch, problem)
            return self._start_batch(submissions, batch)

    def _label(self, batch: Batch) -> CavaticaError | None:
        """Say on the platform which files belong together; the error if that does not work."""
        try:
            files = self._client.get_files(batch.criteria)
            now = self._client.transport.clock.now()
            edits = [
                {"id": file, "metadata": {METADATA_KEY: value, **label_note(before, now)}}
                for file, value in batch.criteria.items()
                for before in [_last_change(files[file])]
            ]
            answers = self._client.edit_files(edits).values()
        except CavaticaError as error:
            return error
        return next((answer for answer in answers if isinstance(answer, ApiError)), None)

    def _start_batch(self, submissions: Sequence[Submission], batch: Batch) -> set[str]:
        sources = self._stager.provide_sources()
        try:
            draft = self._submitter.batch_draft(batch, submissions[0].name, sources)
            task = self._launcher.create(draft)
        except CavaticaError as error:
            for member in batch.members:
                self._stager.recheck(member.candidate.files)
            return self._refused(batch, error)
        if not self._run.limit.allows(*submissions):  # meanwhile
            return set()
        if len(submissions) == 1:
            if self._launcher.enter(submissions[0], task, self._run.id):
                self._launcher.run(task, batch=False)
                self._launcher.announce(submissions[0])
            return set()
        parent = Submission(None, name=task.name)
        if not self._launcher.enter(parent, task, self._run.id):
            return set()
        return self._follow_children(submissions, batch, parent, task)

    def _follow_children(
        self, submissions: Sequence[Submission], batch: Batch, parent: Submission, task: Task
    ) -> set[str]:
        """Start the batch; from then on it is known by its children."""
        try:
            self._launcher.run(task)
            found = batch.match(self._children(batch, task))
        except CavaticaError as error:
            return self._given_up_batch(batch, submissions, parent, error)
        if found is None:
            problem = "its children are not those that were asked for"
            return self._given_up_batch(batch, submissions, parent, problem)
        self._run.logger.info(
            f"{len(found)} jobs of {parent.name} are children of batch task "
            f"{self._run.page(task.id)}"
        )
        pairs = [
            (one, found[one.plan.facts.jobid])
            for one in submissions
            if one.plan.facts.jobid in found
        ]
        entered = [one for one, child in pairs if self._launcher.enter(one, child, self._run.id)]
        if len(entered) == len(pairs):
            self._run.register.leave(parent)
        for one in entered:  # the others are aborted with the batch: the run is being cancelled
            self._launcher.announce(one)
        return _ids(batch) - found.keys()  # their children are lost, and the batch has ended

    def _children(self, batch: Batch, task: Task) -> list[Task]:
        """The children with their own inputs: each would repeat the manifest of all of them."""
        number, own = len(batch.members), f"{_CHILD_FIELDS}.{batch.port}"
        children = children_of(self._client, task, number, fields=own, is_new=True)
        if all(child.inputs for child in children):
            return children
        # That dots lead into objects is documented, but for other objects.
        return children_of(self._client, task, number, fields=_CHILD_FIELDS)

    def start_pack(self, submissions: Sequence[Submission], pack: Pack) -> set[str]:
        """Start jobs as packed jobs of one task; the ids of those that have to start alone.

        Raises:
            CavaticaError: the platform does not start it.
        """
        if not self._run.limit.allows(*submissions):
            return set()
        sources = self._stager.provide_sources()
        try:
            task = self._launcher.create(self._submitter.pack_draft(pack, sources))
        except CavaticaError as error:
            for member in pack.members:
                self._stager.recheck(member.files)
            return self._refused(pack, error)
        if not self._run.limit.allows(*submissions):  # meanwhile
            return set()
        shared = Submission(None, name=task.name)
        if not self._launcher.enter(shared, task, self._run.id):
            return set()
        for submission, listed in zip(submissions, pack.listed, strict=True):
            submission.names = listed.outputs
            identifier = packed_job_id(task.id, listed.mark.jobid)
            if not self._launcher.enter(
                submission, packed_job_of(task, identifier, {}), self._run.id
            ):
                return set()
        try:
            self._launcher.run(task)
        except CavaticaError as error:
            alone = self._given_up(pack, submissions, shared, error)
            for submission in submissions if alone else ():
                self._run.register.leave(submission)
            return alone
        self._run.register.leave(shared)
        for submission in submissions:
            self._launcher.announce(submission)
        return set()

    def _refused(self, jobs: Batch | Pack, reason: object) -> set[str]:
        """Say why jobs have to start alone; which ones."""
        kind = type(jobs).__name__.lower()
        self._run.logger.debug(
            f"{len(jobs.members)} jobs of {jobs.plan.facts.rule}: no {kind}, because the platform "
            f"does not take it: {reason}"
        )
        return _ids(jobs)

    def _given_up_batch(
        self, batch: Batch, submissions: Sequence[Submission], parent: Submission, reason: object
    ) -> set[str]:
        """The same for a batch, whose children may have completed meanwhile: these jobs are done.

        Raises:
            CavaticaError: it cannot be stopped.
        """
        alone = self._given_up(batch, submissions, parent, reason)
        done = self._completed_children(batch, parent.task_id or "") if alone else {}
        for submission in submissions:
            child = done.get(submission.plan.facts.jobid)
            if child is not None and self._launcher.enter(submission, child, self._run.id):
                self._launcher.announce(submission)
        return alone - done.keys()

    def _completed_children(self, batch: Batch, task: str) -> dict[str, Task]:
        """By the ids of their jobs; none if they cannot be told."""
        try:
            found = batch.match(self._client.list_tasks(parent=task, fields=_CHILD_FIELDS)) or {}
        except CavaticaError:
            return {}
        return {job: one for job, one in found.items() if one.status == TaskStatus.COMPLETED}

    def _given_up(
        self,
        jobs: Batch | Pack,
        submissions: Sequence[Submission],
        parent: Submission,
        reason: object,
    ) -> set[str]:
        """Stop a task that cannot be followed; only then its jobs may start anew: which ones.

        Raises:
            CavaticaError: it cannot be stopped.
        """
        if self._run.register.is_closed:
            return set()  # the run is being cancelled, and with it what is in the register
        task = parent.task_id or ""
        project = self._run.home.project
        answer = stop_all(self._client, project, [task], timeout=_STOPPING)[task]
        if not has_ended(answer):
            raise CavaticaError(
                f"The task of {parent.name} cannot be followed ({reason}), and it is not known "
                f"whether it was stopped: {self._run.page(task)}. It may go on{self._run.costs}."
            )
        self._run.register.leave(parent)
        self._run.observer.given_up(parent, answer, submissions)
        self._run.logger.warning(
            f"The task {self._run.page(task)} of {parent.name} was given up ({reason}); its "
            "jobs start anew, each alone."
        )
        return _ids(jobs)


def _last_change(answer: File | ApiError) -> datetime | None:
    return modified(answer) if isinstance(answer, File) else None


def _ids(jobs: Batch | Pack) -> set[str]:
    return {member.plan.facts.jobid for member in jobs.members}
