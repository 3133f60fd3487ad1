"""From a completed task to a job that can be reported: results in place, and on record.

The last steps before Snakemake hears of it. Whatever goes wrong here, the task is done and paid,
and its results can be fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tenacity

from ..api import ApiError, File, NotFound, TransferError
from ..launch.between_workflow_cache import BetweenWorkflowCache
from ..launch.old_versions import OldVersions
from ..launch.other_storages import OtherStorages
from ..project.paths import ProjectPath
from ..read.files import FileReader
from ..read.snakemake_jobs import StartTimes, members_of
from ..read.workflow import script_of
from ..run.context import RunContext
from ..run.register import Submission
from ..run.room import lack_of_room, no_room, see_room
from ..run.unanswered import Unanswered
from ..translate.shared_task import jobid_of
from ..watch.outcome import Completed
from .collect import Collector
from .small_outputs import Gathered

_NEWER = 0.001
"""Seconds: for Snakemake a script has changed unless its results are newer."""


class Completion:
    """Completes the jobs of one run. Safe to use from several threads."""

    def __init__(
        self,
        run: RunContext,
        workflow: Any,
        files: FileReader,
        *,
        collector: Collector,
        other_storages: OtherStorages,
        cache: BetweenWorkflowCache,
        old_versions: OldVersions,
    ) -> None:
        """`workflow` is Snakemake's."""
        self._run = run
        self._workflow = workflow
        self._start_times = StartTimes(workflow.persistence)
        self._files = files
        self._collector = collector
        self._other_storages = other_storages
        self._cache = cache
        self._old_versions = old_versions
        self._without_room = Unanswered(local=run.connection.is_local)
        """How long this machine has had no room for results."""

    def complete(
        self, submission: Submission, result: Completed, files: Mapping[str, File | ApiError]
    ) -> None:
        """Have the outputs where the workflow expects them.

        Args:
            files: the documents of the task's outputs, by id.

        Raises:
            CavaticaError, WorkflowError, OSError: they cannot be brought there; a later attempt, or
                the next run, takes the task up.
        """
        try:
            self._patiently(submission, result, files)
        except Exception as error:
            if submission.task is not None and not isinstance(error, NotFound):
                self._run.keep(submission)
            raise
        started = submission.task.start_time if submission.task else None
        self._start_times.note(submission.info.job, started)

    def close(self) -> None:
        """Remove what was brought here and nobody needs."""
        self._collector.close()

    def move_together(
        self,
        children: Sequence[tuple[Submission, Completed]],
        files: Mapping[str, File | ApiError],
    ) -> Mapping[str, File | ApiError]:
        """Move the outputs of several children of batches to their places; their documents then.

        Raises:
            CavaticaError: they cannot be moved together.
        """
        self._run.takeover.confirm()
        outputs = [
            (output, result.outputs[output.port])
            for submission, result in children
            for passing in [submission.passing]
            for _, output in submission.plan.collected
            if output.port in passing
        ]
        return self._collector.bring_home(outputs, files)

    def _patiently(
        self, submission: Submission, result: Completed, files: Mapping[str, File | ApiError]
    ) -> None:
        """Complete a job; one that is done and paid does not fail for want of patience.

        Raises:
            CavaticaError, WorkflowError, OSError: it does not work in the end.
        """
        gathered = _gathered(submission, result, files)
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            before_sleep=lambda state: self._run.logger.warning(
                f"{submission.title}: its results cannot be fetched yet; trying again. "
                f"{_told(state.outcome.exception() if state.outcome else None)}"
            ),
            wait=tenacity.wait_exponential(multiplier=2, max=60),
            stop=tenacity.stop_any(
                tenacity.stop_after_delay(submission.unanswered.patience),
                tenacity.stop_when_event_set(self._run.cancelled),
            ),
            sleep=tenacity.sleep_using_event(self._run.cancelled),
            reraise=True,
        )
        for attempt in again:
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    ids = [ref.path for ref in result.outputs.values()]
                    files = self._run.connection.client.get_files(ids)
                self._put_in_place(submission, result, files, gathered)
        self._without_room.ends()

    def _may_pass(self, error: BaseException) -> bool:
        """Whether to try again; a full disk is the same one for all jobs."""
        if isinstance(error, TransferError | ApiError):
            return not isinstance(error, NotFound)
        if lack_of_room(error) is None:
            return False
        self._without_room.begins()
        return not self._without_room.is_too_long

    def _put_in_place(
        self,
        submission: Submission,
        result: Completed,
        files: Mapping[str, File | ApiError],
        gathered: Gathered | None,
    ) -> None:
        """Have the outputs where they belong, once or, after what went wrong half-way, again.

        Raises:
            CavaticaError, WorkflowError, OSError: it does not work, yet or at all.
        """
        job, copies = submission.info.job, self._copies(submission)
        # Where there is none, Snakemake ends as soon as it notes that a job is finished.
        see_room(_bytes_to_fetch(submission, result, files, copies))
        self._run.takeover.confirm()  # else it might disturb what another run has put in place
        self._run.takeover.reveal(submission.task_id or "")
        collected = self._collector.collect(
            submission.plan,
            result.outputs,
            files,
            copies=copies,
            before_placing=partial(self._record, submission),
            passing=submission.passing,
            gathered=gathered,
        )
        self._other_storages.store(submission.plan)
        if self._cache.serves(job):
            self._cache.store(job)
        newest_origin = max(self._newest_input(submission), _newest_script(job))
        _settle_local_files(job, newest_origin)
        self._settle_stored_files(submission, newest_origin)
        self._collector.remember(collected)
        self._old_versions.release(job)

    def _record(self, submission: Submission) -> None:
        """Have Snakemake's record of the job complete before its outputs appear, all at once.

        Otherwise it would refuse to start again (IncompleteFilesException) if this process were
        killed before the job is finished for Snakemake as well, which calls this once more.
        """
        for member in members_of(submission.info.job):
            self._workflow.async_run(self._workflow.persistence.finished(member))
        if submission.task_id and not submission.stored:
            self._run.takeover.placing(submission.task_id)
        self._run.observer.arriving(submission)

    def _copies(self, submission: Submission) -> dict[str, Path]:
        """Checkpoint outputs on the platform: input functions read them on this machine."""
        if not submission.info.job.is_checkpoint:
            return {}
        local = {self._files.place_of(file): Path(str(file)) for file in submission.info.job.output}
        copies = {
            output.port: local[output.place]
            for _, output in submission.plan.collected
            if isinstance(output.place, ProjectPath) and output.place in local
        }
        files = submission.info.job.output
        if not any(file.is_storage and file.should_keep_local for file in files):
            self._run.connection.copies.update(path.absolute() for path in copies.values())
        return copies

    def _settle_stored_files(self, submission: Submission, newest_origin: float) -> None:
        """See that no file in a project looks older than its origin: a script, say, of a machine
        whose clock is ahead of the platform's. That costs a request a file, and is seldom so.
        """
        for place in submission.stored:
            index = self._run.connection.index(place.project)
            entry = index.find(place.path)
            is_older = entry is not None and entry.mtime < newest_origin
            if entry is not None and is_older and index.mtime(entry) < newest_origin:
                index.touch(entry, newest_origin)

    def _newest_input(self, submission: Submission) -> float:
        """When the newest input was modified, as Snakemake sees it; seconds since the epoch."""
        times = [0.0]
        for staged in submission.plan.inputs:
            place = staged.place
            if isinstance(place, ProjectPath):
                index = self._run.connection.index(place.project)
                entry = index.find(place.path)
                times.append(index.mtime(entry) if entry else 0.0)
            elif Path(place.path).exists():
                times.append(_modified(Path(place.path)))
        return max(times)


def _modified(path: Path) -> float:
    """When a file or folder was modified, as Snakemake tells it: a folder by a file in it."""
    stamp = path / ".snakemake_timestamp"
    return (stamp if stamp.exists() else path).stat().st_mtime


def _gathered(
    submission: Submission, result: Completed, files: Mapping[str, File | ApiError]
) -> Gathered | None:
    """The file with the job's small outputs, if there is one."""
    file = None if result.gathered is None else files.get(result.gathered.path)
    return Gathered(file, jobid_of(submission.task_id or "")) if isinstance(file, File) else None


def _newest_script(job: Any) -> float:
    """When Snakemake takes a script to be as new as what it makes; seconds since the epoch."""
    scripts = [script_of(member.rule) for member in members_of(job)]
    times = [script.lstat().st_mtime for script in scripts if script is not None]
    return max(times, default=0.0) + _NEWER


def _settle_local_files(job: Any, newest_origin: float) -> None:
    """One time for all files of a task, so that none of them looks older than its origin."""
    # The platform's clock may be ahead of ours, and so may the files that were made with it; and
    # ours may have been set back.
    now = max(time.time(), newest_origin)
    for member in members_of(job):
        benchmark = [member.benchmark] if member.benchmark else []
        for file in (*member.output, *benchmark):
            if not file.is_storage and Path(str(file)).exists():
                file.touch(times=(now, now))
                if file in member.protected_output:
                    file.protect()


def _bytes_to_fetch(
    submission: Submission,
    result: Completed,
    files: Mapping[str, File | ApiError],
    copies: Mapping[str, Path],
) -> int:
    """What the outputs take here, as far as the platform tells."""
    found = (
        files.get(result.outputs[output.port].path)
        for _, output in submission.plan.collected
        if output.port in copies or not isinstance(output.place, ProjectPath)
    )
    return sum(file.size or 0 for file in found if isinstance(file, File))


def _told(error: BaseException | None) -> str:
    lack = lack_of_room(error)
    return str(error) if lack is None else f"Now {no_room(lack)}."
