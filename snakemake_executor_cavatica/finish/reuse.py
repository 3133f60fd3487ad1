"""Has a job done by the outputs that an earlier run, of whomever, has made for the very same.

On the platform they are copied to their places, by reference; to this machine they are downloaded.
The earlier run's own files stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..api import ApiError, CavaticaError, Client, File, FileRef, Task
from ..api.background import run_async
from ..api.calls import within
from ..launch.between_workflow_cache import BetweenWorkflowCache
from ..launch.contents import Contents
from ..launch.known_results import KnownResults
from ..plan.plan import JobPlan, PlannedOutput
from ..project.content import modified, settling
from ..project.local_record import LocalRecord
from ..project.paths import ProjectPath
from ..project.times import MTIME_KEY
from ..run.context import RunContext
from ..run.earlier_results import EarlierResults
from ..run.leftovers import Leftover
from ..run.register import Submission
from ..run.reports import Reports
from ..translate.app import app_name
from ..translate.measured import measured_by
from ..translate.reuse_key import SourcesContent
from ..translate.shared_task import task_id_of
from ..translate.stored_names import stored_name
from ..watch.outcome import Completed, outcome
from .complete import Completion

_MOST_TRIED = 3
"""Earlier tasks for one job: where the newest have lost their outputs, so have the others."""


class _Unfit(Exception):
    """Why the outputs of a task cannot be taken, as a clause."""


@dataclass
class _Found:
    """The outputs of an earlier task, or the copies of them."""

    refs: dict[str, FileRef]
    """By port."""
    files: dict[str, File | ApiError]
    """Documents of these, by id."""
    inside: dict[str, dict[str, File]] = field(default_factory=dict)
    """What is in each that is a folder, by its id: files by path."""


class Reuse:
    """Takes the results of earlier runs. Safe to use from several threads."""

    def __init__(
        self,
        run: RunContext,
        results: EarlierResults,
        contents: Contents,
        completion: Completion,
        reports: Reports,
    ) -> None:
        self._run = run
        self._client: Client = run.connection.client
        self._results = results
        self._contents = contents
        self._completion = completion
        self._reports = reports

    def take(self, submission: Submission) -> bool:
        """Have a job done by the outputs of an earlier task, if there is one, and they are whole.

        Raises:
            CavaticaError, WorkflowError, OSError: the earlier tasks cannot be listed, or what they
                have made cannot be brought to its place on this machine.
        """
        assert submission.mark is not None
        app = app_name(submission.plan.facts.rule)
        for earlier in self._results.of(submission.mark.reuse, app)[:_MOST_TRIED]:
            try:
                found = self._placed(submission.plan, self._found(earlier.task, submission.plan))
            except (_Unfit, CavaticaError) as reason:
                if self._run.cancelled.is_set():
                    raise
                self._run.logger.info(
                    f"{submission.title}: the results of the earlier task "
                    f"{self._run.page(earlier.task.id)} are not taken: {reason}"
                )
                continue
            self._finish(submission, earlier, found)
            return True
        return False

    # ------------------------------------------------------------------- what the task has left

    def _found(self, task: Task, plan: JobPlan) -> _Found:
        """The outputs, if they are all there, and nobody has changed them."""
        result = outcome(task, plan)
        if not isinstance(result, Completed):
            raise _Unfit("it does not name all outputs")
        found = _Found(dict(result.outputs), {})
        found.files = dict(self._client.get_files(ref.path for ref in found.refs.values()))
        for answer in found.files.values():
            if isinstance(answer, ApiError):
                raise _Unfit(f"an output is not there any more ({answer})")
            if answer.is_folder:
                found.inside[answer.id] = dict(_inside(self._client, answer.id))
                for file in found.inside[answer.id].values():
                    _check_unchanged(file, task)
            else:
                _check_unchanged(answer, task)
        if found.inside:
            _check_whole(found, task)
        return found

    # ---------------------------------------------------------------------- where they are wanted

    def _placed(self, plan: JobPlan, found: _Found) -> _Found:
        """The same, with copies at the places of those that are wanted on the platform."""
        placed = _Found(dict(found.refs), dict(found.files))
        made: list[File] = []
        for _, output in plan.collected:
            if not isinstance(output.place, ProjectPath):
                continue
            original = found.files[found.refs[output.port].path]
            assert isinstance(original, File)
            copy = self._copy(output, output.place, original)
            placed.refs[output.port] = replace(found.refs[output.port], path=copy.id)
            placed.files[copy.id] = copy
            made += self._noted(original, copy, found)
        self._set_times(made, placed)
        return placed

    def _copy(self, output: PlannedOutput, place: ProjectPath, original: File) -> File:
        index = self._run.connection.index(place.project)
        where = within(index.ensure_folder(place.parent.path), place.project)
        name = stored_name(output)
        if not original.is_folder:
            return self._client.copy_file(original.id, name=name, **where)
        job = run_async(self._client, "copy", [{"file": original.id, "name": name, **where}])
        copied = next((one.resource for one in job.result if one.resource is not None), None)
        if copied is None:
            raise _Unfit(f"the folder {output.path} could not be copied: {job.result}")
        return self._client.get_file(str(copied["id"]))

    def _noted(self, original: File, copy: File, found: _Found) -> list[File]:
        """Know a copy by the content of its original; the files that were copied."""
        if not copy.is_folder:
            if copy.size != original.size:
                raise _Unfit(f"{original.name} could not be copied as a whole")
            self._contents.note_copy(copy, original)
            return [copy]
        originals, copies = found.inside[original.id], dict(_inside(self._client, copy.id))
        if {path: file.size for path, file in originals.items()} != {
            path: file.size for path, file in copies.items()
        }:
            raise _Unfit(f"the folder {original.name} could not be copied as a whole")
        for path, file in copies.items():
            self._contents.note_copy(file, originals[path])
        return list(copies.values())

    def _set_times(self, made: list[File], placed: _Found) -> None:
        """One time for all, as for the outputs of a task: none looks older than its origin."""
        is_one = len(made) <= 1
        if is_one and not any(MTIME_KEY in file.metadata for file in made):
            return
        times = [file.created_on.timestamp() for file in made if file.created_on]
        edits = [{"id": file.id, "metadata": {MTIME_KEY: repr(max(times))}} for file in made]
        for answer in self._client.edit_files(edits if times else []).values():
            if isinstance(answer, ApiError):
                raise answer
            if answer.id in placed.files:
                placed.files[answer.id] = answer

    # ------------------------------------------------------------------------------------- the job

    def _finish(self, submission: Submission, earlier: Leftover, found: _Found) -> None:
        plan = submission.plan
        if not all(isinstance(output.place, ProjectPath) for _, output in plan.collected):
            # Some are still the earlier run's own files, which nobody is to describe anew.
            submission.planned = replace(plan, metadata={}, inherits_metadata=False)
        self._completion.complete(submission, Completed(found.refs), found.files)
        self._run.register.report(submission)
        self._run.takeover.leftovers.settle(submission.identity)
        self._run.observer.reused(submission, earlier)
        self._reports.finished(submission.info)


def known_results(
    run: RunContext,
    reports: Reports,
    cache: BetweenWorkflowCache,
    completion: Completion,
    *,
    local_record: LocalRecord,
    sources: SourcesContent,
) -> KnownResults:
    """What spares the jobs of a run their tasks."""
    results = EarlierResults(run.connection.client, run.home.project, run.logger)
    contents = Contents(run.connection, local_record)
    take = Reuse(run, results, contents, completion, reports).take
    return KnownResults(run, reports, cache, contents, sources, take)


def _check_unchanged(file: File, task: Task) -> None:
    """See that a file is what the task has left, as far as the platform tells."""
    if file.origin_task != task_id_of(task.id):
        raise _Unfit(f"{file.name} is not what the task made any more")
    changed = modified(file)
    if task.end_time is None or changed is None:
        raise _Unfit(f"it is not told when {file.name} was last changed")
    if changed > task.end_time + settling(file, is_moved=task.parent is not None):
        raise _Unfit(f"{file.name} has been changed since, or its metadata")


def _check_whole(found: _Found, task: Task) -> None:
    """See that nothing was taken out of a folder: nothing that is there tells of what is not."""
    inside = [file for files in found.inside.values() for file in files.values()]
    alone = [one for one in found.files.values() if isinstance(one, File) and not one.is_folder]
    left = measured_by(task).output_bytes
    if left is None:
        raise _Unfit("it is not told how much was in its folders")
    if left != sum(file.size or 0 for file in (*inside, *alone)):
        raise _Unfit("what it has left in folders is not all there any more")


def _inside(client: Client, folder: str, path: str = "") -> Iterable[tuple[str, File]]:
    """All files in a folder of the platform, by their paths in it."""
    for file in list(client.list_files(parent=folder)):
        if file.is_folder:
            yield from _inside(client, file.id, f"{path}{file.name}/")
        else:
            yield f"{path}{file.name}", file
