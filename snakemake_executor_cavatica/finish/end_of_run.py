"""How a run ends: by itself, by Ctrl-C, or because another one has taken it up."""

from __future__ import annotations

from ..api import CavaticaError, TaskStatus
from ..launch.other_storages import OtherStorages
from ..launch.starter import Starter
from ..launch.submit import Submitter
from ..project.local_record import LocalRecord
from ..project.signals import second_signal
from ..read.source_archive import SourceArchive
from ..run.context import RunContext
from ..run.journal import State
from ..run.register import Submission
from ..run.room import lack_of_room
from ..run.stopping import Stopper
from .finisher import Finisher

DRAFTS_STAY = (
    "Tasks that were never started may be left; they cost nothing. The same command removes them, "
    "or `snakemake-cavatica clean` does."
)


class EndOfRun:
    """Ends a run, once or twice: Snakemake cancels it first, and then shuts it down."""

    def __init__(
        self,
        run: RunContext,
        stopper: Stopper,
        submitter: Submitter,
        starter: Starter,
        finisher: Finisher,
        *,
        last: tuple[OtherStorages, LocalRecord, SourceArchive],
        detach: bool,
    ) -> None:
        """`last` is cleared and closed after all else; with `detach`, tasks go on when the run is
        interrupted.
        """
        self._run = run
        self._stopper = stopper
        self._submitter = submitter
        self._starter = starter
        self._finisher = finisher
        self._other_storages, self._local_record, self._archive = last
        self._detach = detach
        self._unswept: set[str] = set()
        """Runs of which drafts may be left."""

    @property
    def has_successor(self) -> bool:
        """Whether another run has taken this one up."""
        return self._run.takeover.has_successor

    @property
    def is_cancelled(self) -> bool:
        """Whether the run ends before its jobs have."""
        return self._run.cancelled.is_set()

    @property
    def is_detached(self) -> bool:
        """Whether its tasks go on then."""
        return self._detach or self.has_successor

    def ended_by(self, error: BaseException | None) -> None:
        """Let tasks go on if what ends the run is that Snakemake cannot write here: they are paid
        in vain otherwise, and nothing is the matter with them. Those of a platform that ends with
        this process cannot.
        """
        if lack_of_room(error) is None:
            return
        self._detach = self._detach or self._run.connection.local is None
        for submission in self._run.register.unsettled:
            # Snakemake deletes these first: it takes its own failure for the job's.
            if submission.planned is not None:
                self._run.spare(submission)

    def failed(self, submission: Submission, error: BaseException | None) -> None:
        """A job that was reported as finished has failed for Snakemake, by this error: if that is
        the same, its results are good.
        """
        if lack_of_room(error) is not None:
            self._run.keep(submission)

    def hurry(self) -> None:
        """Do not wait to see whether tasks have stopped."""
        self._stopper.hurry()

    def abort(self) -> None:
        """Abort first, and only then wait for uploads and downloads that nobody needs any more."""
        self.abort_tasks()
        self._let_go()

    def _let_go(self) -> None:
        """Wait for nothing that nobody needs any more."""
        run = self._run
        run.connection.client.stop.set()
        run.index.client = run.connection.watcher
        self._starter.close()

    def abort_tasks(self, *, may_detach: bool = True) -> None:
        """Abort all tasks that jobs of this run wait for.

        Unless they are to go on then, and that is allowed here.
        """
        run = self._run
        self._detach = self._detach and may_detach
        run.register.close()
        run.cancelled.set()
        left = [one.task.id for one in run.takeover.needed_leftovers if one.is_live]
        tasks = [*(one.task_id or "" for one in run.register.live), *left]
        if tasks and self.is_detached:
            if not run.takeover.has_successor:
                run.logger.info(
                    f"{len(tasks)} tasks go on on CAVATICA{run.costs}. The same "
                    "command takes them up again."
                )
        elif tasks:
            run.logger.info(f"Aborting {len(tasks)} tasks on CAVATICA...")
            self._stopper.stop(tasks)

    def close(self) -> None:
        """Leave nothing behind but what a later run takes up."""
        run = self._run
        if run.cancelled.is_set():
            self._let_go()
        elif run.register.live:
            with second_signal(self.hurry):
                self.abort()
        self._starter.close()
        self._finisher.close()
        for step in (
            run.index.deletions.flush,
            self._sweep,
            self._end_takeover,
            self._other_storages.clear,
            self._local_record.close,
            self._archive.close,
        ):
            try:
                step()
            except CavaticaError as error:
                run.logger.warning(str(error))
        run.connection.end_run()

    def _sweep(self) -> None:
        """Delete drafts that nobody is going to start."""
        run, takeover = self._run, self._run.takeover
        is_untidy = self._submitter.may_have_left_drafts or takeover.predecessors
        if is_untidy and not takeover.is_left_to_others:
            try:
                self._submitter.sweep(run.connection.watcher, [run.id, *takeover.predecessors])
            except CavaticaError as error:
                self._unswept = {run.id, *takeover.predecessors}
                raise CavaticaError(f"{DRAFTS_STAY} {error}") from error
            self._unswept = set()
            leftovers = takeover.leftovers
            leftovers.forget(
                one.task.id for one in leftovers.left if one.task.status == TaskStatus.DRAFT
            )

    def _end_takeover(self) -> None:
        run = self._run
        if not self.is_detached:
            self._stopper.stop_leftovers(run.takeover.needed if run.cancelled.is_set() else ())
        run.takeover.end(
            {submission.run for submission in run.register.unsettled} | self._unswept,
            state=State.DETACHED if self.is_detached else State.ENDED,
        )
