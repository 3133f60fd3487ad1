"""From a planned job to its task: taken up from an earlier run, or started alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..api import CavaticaError, Task, TaskDraft, TaskStatus
from ..plan.plan import Mode
from ..project.paths import ProjectPath
from ..read.digest import digest
from ..run.context import RunContext
from ..run.leftovers import Leftover
from ..run.register import Submission
from ..run.reports import Reports
from ..run.stopping import Stopper
from ..translate.candidate import Candidate
from ..translate.command import text_of_job
from ..translate.job_key import TaskMark, job_key
from ..translate.parcel import with_parcels
from ..translate.shared_task import is_packed_job, task_id_of
from .known_results import KnownResults
from .other_storages import OtherStorages
from .stage import InputStager
from .submit import Submitter


class Launcher:
    """Brings jobs to tasks of their own. Safe to use from several threads."""

    def __init__(
        self,
        run: RunContext,
        stager: InputStager,
        submitter: Submitter,
        *,
        stopper: Stopper,
        reports: Reports,
        other_storages: OtherStorages,
        known_results: KnownResults,
    ) -> None:
        self._run = run
        self._stager = stager
        self._submitter = submitter
        self._stopper = stopper
        self._reports = reports
        self._other_storages = other_storages
        self._known_results = known_results

    def lacks_small_inputs(self, submission: Submission) -> bool:
        """Whether the job has inputs that may travel in a parcel, and are not known yet."""
        small = submission.plan.small_inputs
        return any(not self._stager.is_known(one.place.path) for one in small)

    def send_small_inputs(
        self, submissions: Sequence[Submission], arrived: Callable[[], None]
    ) -> None:
        """Upload the small inputs of several jobs together; `arrived` is called when some have.

        Raises:
            CavaticaError: it does not work; `prepare` does it one by one.
        """
        small = (one for submission in submissions for one in submission.plan.small_inputs)
        self._stager.send_together((one.place.path for one in small), arrived)

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
        if self._known_results.are_cached(submission):
            return None
        plan = submission.plan
        self._other_storages.fetch(plan)
        found = self._stager.prepare(
            (staged.place for staged in plan.inputs),
            together={one.place for one in plan.small_inputs},
        )
        self._run.takeover.open_journal()
        self._run.takeover.confirm()
        paths = [one.place.path for one in plan.outputs if isinstance(one.place, ProjectPath)]
        self._run.index.deletions.make_way(paths)
        key = job_key(
            submission.as_asked or plan,
            job=submission.identity,
            code=submission.code,
            sources=self._sources_digest(submission),
            contents={place: one.content for place, one in found.items()},
        )
        reuse = self._known_results.key(submission)
        submission.mark = TaskMark(self._run.id, plan.facts.jobid, plan.facts.attempt, key, reuse)
        submission.names = {}
        leftover = self._take_up(submission, submission.mark)
        if leftover is None and self._known_results.are_taken(submission):
            return None
        if leftover is None:
            parcels = {
                place: (one.ref.path, one.checksum) for place, one in found.items() if one.in_parcel
            }
            files = {place: one.ref for place, one in found.items()}
            return Candidate(with_parcels(plan, parcels), submission.mark, files, {})
        if leftover.task.status == TaskStatus.DRAFT and not self._run.limit.allows(submission):
            self._run.takeover.leftovers.add(leftover)
            return None
        submission.mark, submission.names = leftover.mark, leftover.names
        if self.enter(submission, leftover.task, leftover.mark.run):
            if leftover.task.status == TaskStatus.DRAFT:
                self.run(leftover.task)
            self.announce(submission)
        return None

    def _sources_digest(self, submission: Submission) -> str:
        """Of the sources that the job may use."""
        plan, sources = submission.as_asked or submission.plan, self._known_results.sources
        named = sources.read_by(text_of_job(plan, submission.code))
        read = "" if plan.mode is Mode.DIRECT else sources.read
        return digest([self._stager.sources_digest, named, read])

    def announce(self, submission: Submission) -> None:
        """The job's task is under way."""
        self._run.observer.under_way(submission)
        self._reports.under_way(submission.info)

    def start_alone(self, submission: Submission, candidate: Candidate) -> None:
        """Start a task for one job.

        Raises:
            CavaticaError: the platform does not do it.
        """
        if not self._run.limit.allows(submission):
            return
        sources = self._stager.provide_sources()
        draft = self._submitter.draft(
            candidate.plan, submission.name, candidate.mark, sources, candidate.files
        )
        try:
            task = self.create(draft)
        except CavaticaError:
            self._stager.recheck(candidate.files)
            raise
        # The limit may have been reached meanwhile. The draft is removed at the end of the run.
        if not self._run.limit.allows(submission):
            return
        if self.enter(submission, task, self._run.id):
            self.run(task)
            self.announce(submission)

    def create(self, draft: TaskDraft) -> Task:
        """Create a draft, unless another run has taken this one up.

        Raises:
            CavaticaError: one has, or the platform does not do it.
        """
        self._run.takeover.confirm()  # the machine may have slept since the job was prepared
        return self._submitter.create(draft)

    def _take_up(self, submission: Submission, mark: TaskMark) -> Leftover | None:
        """The task that does the very same job already; others for that job are stopped.

        Drafts are removed at the end.
        """
        leftover = self._run.takeover.leftovers.claim(mark.key, self._run.id)
        others = self._run.takeover.leftovers.superseded(mark.key)
        live = [one.id for one in others if not one.is_terminal and one.status != TaskStatus.DRAFT]
        if live:
            why = "was started twice" if leftover else "has other inputs, code or resources now"
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
        return leftover

    def enter(self, submission: Submission, task: Task, run: str) -> bool:
        """Have a task in hand before it is started; False if the run is being cancelled."""
        submission.task, submission.run, submission.status = task.bare, run, ""
        if submission.info is not None:
            submission.info.external_jobid = task.id
        if self._run.register.enter(submission):
            self._run.observer.entered(submission)
            return True
        if submission.mark is not None:
            self._run.takeover.leftovers.add(submission.leftover)
        return False

    def run(self, task: Task, *, batch: bool | None = None) -> None:
        """Have the platform run a task that is in hand; `batch` says whether it is one.

        Raises:
            CavaticaError: it does not, or another run has taken this one up.
        """
        self._run.takeover.confirm()  # once more: a machine may fall asleep at any line
        whole = task.model_copy(update={"id": task_id_of(task.id)})
        self._submitter.run(whole, batch=batch)
