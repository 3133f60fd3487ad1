"""Takes jobs whose tasks have ended to what Snakemake hears of them. In threads of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..api import ApiError, CavaticaError, File
from ..launch.other_storages import OtherStorages
from ..read.snakemake_jobs import members_of
from ..run.context import RunContext
from ..run.failing import Failing
from ..run.register import Submission
from ..run.reports import Reports
from ..watch.outcome import Completed, Failed, Lost
from ..watch.poller import Seen
from .another_try import AnotherTry
from .complete import Completion
from .failure import diagnose
from .side_files import SideFiles
from .stderr import stderr_file

_THREADS = 4

Files = Mapping[str, File | ApiError]
"""Documents of files, by their ids."""


class Finisher:
    """Finishes the jobs of a run."""

    def __init__(
        self,
        run: RunContext,
        completion: Completion,
        failing: Failing,
        reports: Reports,
        *,
        other_storages: OtherStorages,
        another_try: AnotherTry,
    ) -> None:
        self._run = run
        self._completion = completion
        self._failing = failing
        self._reports = reports
        self._other_storages = other_storages
        self._another_try = another_try
        self._side_files = SideFiles(run.connection.client, run.page)
        self._threads = ThreadPoolExecutor(_THREADS, "cavatica-collect")
        self._is_absence_told = False

    def finish(self, seen: Seen) -> None:
        """Let threads collect what has completed, and explain what has failed."""
        children: list[tuple[Submission, Completed]] = []
        for submission, result in seen.ended:
            if isinstance(result, Completed) and submission.is_child:
                children.append((submission, result))
            elif isinstance(result, Completed):
                self._soon(submission, partial(self._collect, result=result, files=seen.files))
            elif isinstance(result, Failed | Lost):
                self._soon(submission, partial(self._explain, failure=result))
        if children:
            step = partial(self._collect_children, children, seen.files)
            self._threads.submit(self._failing.guard, [one for one, _ in children], step)
        for submission, error in seen.hopeless:
            self._soon(submission, partial(self._give_up, error=error))

    def tidy_soon(self, longest: float) -> None:
        """Delete by and by, in bulk, what Snakemake takes for deleted; the end does the rest.

        Args:
            longest: seconds that it may wait.
        """
        # A run that others do not know yet may be refused, and has no business to delete.
        if self._run.takeover.is_known and self._run.index.deletions.are_overdue(longest):
            self._threads.submit(self._tidy)

    def close(self) -> None:
        """Wait until nothing is being finished any more."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._completion.close()

    def _soon(self, submission: Submission, step: Callable[[Submission], None]) -> None:
        self._threads.submit(self._failing.guarded, submission, step)

    def _tidy(self) -> None:
        try:
            self._run.index.deletions.flush()
        except CavaticaError as error:
            self._run.logger.debug(f"Files could not be deleted yet: {error}")

    # -------------------------------------------------------------------------------- success

    def _collect_children(self, children: list[tuple[Submission, Completed]], files: Files) -> None:
        """Move the outputs of several children of batches together, then go on with each."""
        try:
            files = self._completion.move_together(children, files)
        except CavaticaError as error:
            self._run.logger.debug(f"Outputs could not be moved together: {error}")
        for submission, result in children:
            self._soon(submission, partial(self._collect, result=result, files=files))

    def _collect(self, submission: Submission, result: Completed, files: Files) -> None:
        if submission.own is not None:
            self._run.register.leave(submission)
            self._run.observer.finished(submission, _size(result, files))
            submission.own.set_result(result.outputs[submission.plan.outputs[0].port])
            return
        self._note_absence(submission)
        self._completion.complete(submission, result, files)
        self._run.register.report(submission)
        self._run.observer.finished(submission, _size(result, files))
        self._reports.finished(submission.info)

    def _note_absence(self, submission: Submission) -> None:
        """Say once that a platform does not hand back what its tasks measure."""
        if (
            submission.plan.measured
            and not submission.measured.is_told
            and not self._is_absence_told
        ):
            self._is_absence_told = True
            self._run.logger.debug(
                f"{submission.title}: its task does not tell what it took (time, memory): the "
                "platform hands back no such text, or another one."
            )

    # -------------------------------------------------------------------------------- failure

    def _explain(self, submission: Submission, failure: Failed | Lost) -> None:
        task_id = submission.task_id or ""
        members = [] if submission.info is None else members_of(submission.info.job)
        logs = {str(file): file for member in members for file in member.log}
        diagnosis = diagnose(
            self._run.connection.client,
            submission.plan,
            task_id,
            self._run.page(task_id),
            failure,
            log_paths=[Path(str(file)) for member in members for file in member.log],
            stderr_path=stderr_file(task_id),
            side_files=None if submission.info is None else self._side_files,
        )
        if not submission.measured.is_told:
            submission.measured = diagnosis.measured
        self._run.observer.explained(
            submission,
            diagnosis.reason.name.lower(),
            exit_status=diagnosis.exit_status,
            stderr=diagnosis.stderr,
        )
        if self._another_try.start(submission, diagnosis.finding):
            return
        written = list(map(str, diagnosis.logs))
        trouble = self._other_storages.store_logs(logs[path] for path in written if path in logs)
        self._failing.fail(
            submission,
            diagnosis.message + trouble,
            [path for path in written if path not in logs],
        )

    def _give_up(self, submission: Submission, error: ApiError) -> None:
        self._failing.fail(
            submission,
            f"{submission.title}: the platform has told nothing about its task for "
            f"{submission.unanswered.patience:.0f} seconds. {error}\n",
        )


def _size(result: Completed, files: Files) -> int | None:
    """Bytes of all outputs; None if the platform does not tell those of one."""
    found = [files.get(ref.path) for ref in result.outputs.values()]
    sizes = [file.size for file in found if isinstance(file, File) and file.size is not None]
    return sum(sizes) if len(sizes) == len(found) else None
