"""From a planned job to its task: taken up from an earlier run, or started alone or with others."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..api import ApiError, CavaticaError, File, Task, TaskStatus
from ..project.paths import ProjectPath
from ..run.context import RunContext
from ..run.orphans import Orphan
from ..run.register import Submission
from ..run.reports import Reports
from ..run.stopping import Stopper, has_ended, stop_all
from ..run.tasks_of_runs import children_of
from ..translate.batch import METADATA_KEY, Batch, group
from ..translate.candidate import Candidate
from ..translate.job_key import TaskMark, job_key
from ..translate.pack import Pack, pack_jobs
from ..translate.shared_task import is_packed_job, packed_job_id, packed_job_of, task_id_of
from .between_workflow_cache import BetweenWorkflowCache
from .other_storages import OtherStorages
from .stage import InputStager
from .submit import Submitter

CHILD_FIELDS = "id,name,description,status,parent,inputs"
_STOPPING = 60.0
"""Seconds to see that a batch that is of no use has ended."""


class Launcher:
    """Starts the tasks of a run. Safe to use from several threads."""

    def __init__(
        self,
        run: RunContext,
        stager: InputStager,
        submitter: Submitter,
        *,
        stopper: Stopper,
        reports: Reports,
        other_storages: OtherStorages,
        cache: BetweenWorkflowCache,
    ) -> None:
        self._run = run
        self._client = run.connection.client
        self._stager = stager
        self._submitter = submitter
        self._stopper = stopper
        self._reports = reports
        self._other_storages = other_storages
        self._cache = cache
        self._labelling = threading.Lock()
        """Held while a batch by criteria is made: a file has one label at a time."""

    # --------------------------------------------------------------------------------- alone

    def start(self, submission: Submission) -> None:
        """Take up the job's task of an earlier run, or start one.

        Raises:
            CavaticaError: an input cannot be had, or the platform does not start the task.
        """
        candidate = self.prepare(submission)
        if candidate is not None:
            self.start_alone(submission, candidate)

    def prepare(self, submission: Submission) -> Candidate | None:
        """Bring the inputs; None if no task has to be started for the job.

        Raises:
            CavaticaError: an input cannot be had, or another run is in the way.
        """
        if self._is_cached(submission):
            return None
        plan = submission.plan
        paths = [one.place.path for one in plan.outputs if isinstance(one.place, ProjectPath)]
        if self._run.index.deletions.occupy(paths):
            self._run.index.deletions.flush()
        self._other_storages.fetch(plan)
        files = self._stager.prepare(staged.place for staged in plan.inputs)
        self._run.takeover.open_journal()
        self._run.takeover.confirm()
        key = job_key(
            plan,
            job=submission.identity,
            code=submission.code,
            sources=self._stager.sources_digest,
            files=files,
        )
        submission.mark = TaskMark(self._run.id, plan.facts.jobid, plan.facts.attempt, key)
        submission.names = {}
        orphan = self._take_up(submission, submission.mark)
        if orphan is None:
            return Candidate(plan, submission.mark, files, {})
        submission.mark, submission.names = orphan.mark, orphan.names
        if self._enter(submission, orphan.task, orphan.mark.run):
            if orphan.task.status == TaskStatus.DRAFT:
                self._start(submission, orphan.task)
            self._announce(submission)
        return None

    def _is_cached(self, submission: Submission) -> bool:
        """Whether the job's outputs came from the between-workflow cache, and it is reported."""
        job = submission.info.job
        if not (self._cache.serves(job) and self._cache.fetch(job)):
            return False
        self._reports.finished(submission.info, soon=False)
        return True

    def _announce(self, submission: Submission) -> None:
        """The job's task is under way."""
        run = submission.run
        self._run.logger.info(
            f"Job {submission.plan.facts.jobid} ({submission.name}) is task "
            f"{self._run.page(submission.task_id or '')}"
            + ("" if run == self._run.id else f" of the earlier run {run}")
        )
        self._reports.under_way(submission.info)

    def start_alone(self, submission: Submission, candidate: Candidate) -> None:
        """Start a task for one job.

        Raises:
            CavaticaError: the platform does not do it.
        """
        sources = self._stager.provide_sources()
        draft = self._submitter.draft(
            candidate.plan, submission.name, candidate.mark, sources, candidate.files
        )
        try:
            task = self._submitter.create(draft)
        except CavaticaError:
            self._stager.recheck(candidate.files)
            raise
        if self._enter(submission, task, self._run.id):
            self._start(submission, task)
            self._announce(submission)

    def _take_up(self, submission: Submission, mark: TaskMark) -> Orphan | None:
        """The task that does the very same job already; others for that job are stopped.

        Drafts are removed at the end.
        """
        orphan = self._run.takeover.orphans.claim(mark.key)
        others = self._run.takeover.orphans.superseded(mark.key)
        live = [one.id for one in others if not one.is_terminal and one.status != TaskStatus.DRAFT]
        if live:
            why = "was started twice" if orphan else "has other inputs, code or resources now"
            shared = [task for task in live if is_packed_job(task)]
            alone = [task for task in live if not is_packed_job(task)]
            self._run.logger.info(
                f"{submission.title} {why}; "
                + " and ".join(
                    f"{what} task {', '.join(map(self._run.page, tasks))} of an earlier run"
                    for what, tasks in (("aborting", alone), ("leaving to other jobs", shared))
                    if tasks
                )
            )
            if alone:
                self._stopper.stop(alone)
        return orphan

    def _enter(self, submission: Submission, task: Task, run: str) -> bool:
        """Have a task in hand before it is started; False if the run is being cancelled."""
        submission.task, submission.run, submission.status = task.bare, run, task.status
        if submission.info is not None:
            submission.info.external_jobid = task.id
        if self._run.register.enter(submission):
            return True
        if submission.mark is not None:
            self._run.takeover.orphans.add(submission.orphan)
        return False

    def _start(self, submission: Submission, task: Task, *, batch: bool | None = None) -> None:
        self._run.takeover.confirm()  # once more: a machine may fall asleep at any line
        whole = task.model_copy(update={"id": task_id_of(task.id)})
        submission.status = self._submitter.run(whole, batch=batch).status

    # ------------------------------------------------------------------------------ together

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
        documents = self._client.get_files(ids)
        names = {file: one.name for file, one in documents.items() if isinstance(one, File)}
        return [replace(candidate, names=names) for candidate in candidates]

    def start_batch(self, submissions: Sequence[Submission], batch: Batch) -> set[str]:
        """Start jobs as the children of one task; the ids of those that have to start alone.

        Raises:
            CavaticaError: it is not known whether the batch runs, and it cannot be stopped.
        """
        if not batch.by_criteria:
            return self._start_batch(submissions, batch)
        with self._labelling:
            problem = self._label(batch)
            if problem is not None:
                return self._refused(batch, problem)
            return self._start_batch(submissions, batch)

    def _label(self, batch: Batch) -> CavaticaError | None:
        """Say on the platform which files belong together; the error if that does not work."""
        edits = [
            {"id": file, "metadata": {METADATA_KEY: value}}
            for file, value in batch.criteria.items()
        ]
        try:
            answers = self._client.edit_files(edits).values()
        except CavaticaError as error:
            return error
        return next((answer for answer in answers if isinstance(answer, ApiError)), None)

    def _start_batch(self, submissions: Sequence[Submission], batch: Batch) -> set[str]:
        sources = self._stager.provide_sources()
        try:
            task = self._submitter.create(self._submitter.batch_draft(batch, sources))
        except CavaticaError as error:
            for member in batch.members:
                self._stager.recheck(member.candidate.files)
            return self._refused(batch, error)
        if len(submissions) == 1:
            if self._enter(submissions[0], task, self._run.id):
                self._start(submissions[0], task, batch=False)
                self._announce(submissions[0])
            return set()
        parent = Submission(None, name=task.name)
        if not self._enter(parent, task, self._run.id):
            return set()
        return self._follow_children(submissions, batch, parent, task)

    def _follow_children(
        self, submissions: Sequence[Submission], batch: Batch, parent: Submission, task: Task
    ) -> set[str]:
        """Start the batch; from then on it is known by its children."""
        try:
            self._start(parent, task)
            children = children_of(self._client, task, len(batch.members), fields=CHILD_FIELDS)
            found = batch.match(children)
        except CavaticaError as error:
            return self._given_up(batch, parent, task, error)
        if found is None:
            problem = "its children are not those that were asked for"
            return self._given_up(batch, parent, task, problem)
        self._run.logger.info(
            f"{len(found)} jobs of {parent.name} are children of batch task "
            f"{self._run.page(task.id)}"
        )
        pairs = [
            (one, found[one.plan.facts.jobid])
            for one in submissions
            if one.plan.facts.jobid in found
        ]
        entered = [self._enter(one, child, self._run.id) for one, child in pairs]
        if all(entered):
            self._run.register.leave(parent)
        for one, _ in pairs:
            self._announce(one)
        return _ids(batch) - found.keys()  # their children are lost, and the batch has ended

    def start_pack(self, submissions: Sequence[Submission], pack: Pack) -> set[str]:
        """Start jobs as packed jobs of one task; the ids of those that have to start alone.

        Raises:
            CavaticaError: the platform does not start it.
        """
        sources = self._stager.provide_sources()
        try:
            task = self._submitter.create(self._submitter.pack_draft(pack, sources))
        except CavaticaError as error:
            for member in pack.members:
                self._stager.recheck(member.files)
            return self._refused(pack, error)
        shared = Submission(None, name=task.name)
        if not self._enter(shared, task, self._run.id):
            return set()
        for submission, listed in zip(submissions, pack.listed, strict=True):
            submission.names = listed.outputs
            identifier = packed_job_id(task.id, listed.mark.jobid)
            if not self._enter(submission, packed_job_of(task, identifier, {}), self._run.id):
                return set()
        try:
            self._start(shared, task)
        except CavaticaError as error:
            alone = self._given_up(pack, shared, task, error)
            for submission in submissions if alone else ():
                self._run.register.leave(submission)
            return alone
        self._run.register.leave(shared)
        for submission in submissions:
            self._announce(submission)
        return set()

    def _refused(self, jobs: Batch | Pack, reason: object) -> set[str]:
        """Say why jobs have to start alone; which ones."""
        kind = type(jobs).__name__.lower()
        self._run.logger.debug(
            f"{len(jobs.members)} jobs of {jobs.plan.facts.rule}: no {kind}, because the platform "
            f"does not take it: {reason}"
        )
        return _ids(jobs)

    def _given_up(
        self, jobs: Batch | Pack, parent: Submission, task: Task, reason: object
    ) -> set[str]:
        """Stop a task that cannot be followed; only then its jobs may start anew: which ones.

        Raises:
            CavaticaError: it cannot be stopped.
        """
        if self._run.register.is_closed:
            return set()  # the run is being cancelled, and with it what is in the register
        answer = stop_all(self._client, [task.id], timeout=_STOPPING)[task.id]
        if not has_ended(answer):
            raise CavaticaError(
                f"The task of {parent.name} cannot be followed ({reason}), and it is not known "
                f"whether it was stopped: {self._run.page(task.id)}. It may go on{self._run.costs}."
            )
        self._run.register.leave(parent)
        self._run.logger.warning(
            f"The task {self._run.page(task.id)} of {parent.name} was given up ({reason}); its "
            "jobs start anew, each alone."
        )
        return _ids(jobs)


def _ids(jobs: Batch | Pack) -> set[str]:
    return {member.plan.facts.jobid for member in jobs.members}
