"""Looks at the tasks of jobs that are under way, and says what that means for each job."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..api import ApiError, File, Task, TaskStatus
from ..run.context import RunContext
from ..run.register import Submission
from ..run.tasks_of_runs import tasks_as_seen
from ..translate.measured import measured_by
from ..translate.shared_task import SharedTask, is_packed_job, task_id_of
from .batches import Batches
from .outcome import Completed, Outcome, Pending, outcome
from .schedule import SHORTEST_INTERVAL, PollSchedule

_WATCHED = (
    "id,name,description,status,created_time,start_time,end_time,parent,execution_status,errors,"
    "outputs,use_interruptible_instances,price"
)
"""Fields of a task that are looked at: not its inputs, with the script that we have sent."""


@dataclass
class Seen:
    """What a look at the tasks has shown."""

    under_way: list[Submission] = field(default_factory=list)
    ended: list[tuple[Submission, Outcome]] = field(default_factory=list)
    hopeless: list[tuple[Submission, ApiError]] = field(default_factory=list)
    """Jobs to be given up: for too long, the platform has told nothing about their tasks."""
    files: Mapping[str, File | ApiError] = field(default_factory=dict)
    """The documents of the outputs of what has completed, by id."""


class Poller:
    """The one place that asks how tasks are."""

    def __init__(self, run: RunContext, schedule: PollSchedule) -> None:
        self._run = run
        self._schedule = schedule
        self._watcher = run.connection.watcher
        self._batches = Batches(self._watcher)
        self._last_trouble = ""
        self._given_up: set[str | None] = set()
        self.interval = SHORTEST_INTERVAL
        """Seconds until the next look."""

    @property
    def longest_interval(self) -> float:
        """Seconds between two looks where nothing is to be seen."""
        return self._schedule.longest

    @property
    def own_jobs(self) -> list[Submission]:
        """What is under way and Snakemake knows nothing of: it is looked at with the rest.

        Not before it is started: the draft would count as a failure.
        """
        return [
            one
            for one in self._run.register.live
            if one.own is not None
            and not one.ended
            and one.task_id not in self._given_up
            and not (one.task and one.task.status == TaskStatus.DRAFT)
        ]

    def look(self, jobs: Iterable[Submission]) -> Seen:
        """Look at the tasks of these jobs."""
        submissions = {submission.task_id or "": submission for submission in jobs}
        live = len(submissions)
        began = time.monotonic()
        seen = Seen()
        try:
            seen.under_way = self._resting(submissions)
            answers = self._answers(submissions)
            results = {
                task_id: outcome(answers[task_id], submission.plan)
                for task_id, submission in submissions.items()
            }
            seen.files = self._watcher.get_files(
                ref.path
                for result in results.values()
                if isinstance(result, Completed)
                for ref in (*result.outputs.values(), result.gathered)
                if ref is not None
            )
        except ApiError as error:
            return self._unanswered([*seen.under_way, *submissions.values()], error)
        finally:
            self.interval = self._schedule.interval(
                live,
                asked=len(set(map(task_id_of, submissions))),
                took=time.monotonic() - began,
            )
        for task_id, submission in submissions.items():
            self._sort(submission, answers[task_id], results[task_id], seen)
        return seen

    def _resting(self, submissions: dict[str, Submission]) -> list[Submission]:
        """Take out the children of batches that need not be looked at now."""
        children = {
            identifier: submission.task.parent
            for identifier, submission in submissions.items()
            if submission.task and submission.task.parent and not is_packed_job(identifier)
        }
        resting = [submissions.pop(child) for child in self._batches.resting(children)]
        for submission in resting:
            submission.unanswered.ends()
        return resting

    def _answers(self, submissions: Mapping[str, Submission]) -> dict[str, Task | ApiError]:
        """The tasks of jobs, by the ids that the jobs know them by."""
        project = self._run.home.project
        ids = map(task_id_of, submissions)
        tasks = tasks_as_seen(self._watcher, project, ids, fields=_WATCHED)
        shared_tasks = {
            task_id: SharedTask(task) for task_id, task in tasks.items() if isinstance(task, Task)
        }
        answers: dict[str, Task | ApiError] = {}
        for identifier, submission in submissions.items():
            answer = tasks[task_id_of(identifier)]
            if is_packed_job(identifier) and isinstance(answer, Task):
                last = submission.task
                if last is not None and last.status == answer.status and not answer.is_terminal:
                    answer = last  # nothing of it matters until it ends
                else:
                    answer = shared_tasks[answer.id].packed_job(identifier, submission.names)
            answers[identifier] = answer
        return answers

    def _sort(
        self, submission: Submission, answer: Task | ApiError, result: Outcome, seen: Seen
    ) -> None:
        if isinstance(answer, Task):
            submission.task = answer
            if answer.is_terminal:
                submission.measured = measured_by(answer)
        if self._run.cancelled.is_set():  # that our own aborts work is no news
            seen.under_way.append(submission)
        elif not isinstance(result, Pending):
            submission.ended = True
            self._schedule.end(submission.task)
            seen.ended.append((submission, result))
        elif result.error is not None:
            self._note_trouble(submission, result.error, seen)
        else:
            submission.unanswered.ends()
            self._note_status(submission, result)
            seen.under_way.append(submission)

    def _unanswered(self, submissions: Iterable[Submission], error: ApiError) -> Seen:
        seen = Seen()
        for submission in submissions:
            self._note_trouble(submission, error, seen)
        return seen

    def _note_trouble(self, submission: Submission, error: ApiError, seen: Seen) -> None:
        """There was no answer about a task."""
        unanswered = submission.unanswered
        if unanswered.begins() and str(error) != self._last_trouble:
            self._last_trouble = str(error)
            self._run.logger.warning(f"The tasks could not be looked at; trying again. {error}")
        if unanswered.is_too_long:
            self._given_up.add(submission.task_id)
            seen.hopeless.append((submission, error))
        else:
            seen.under_way.append(submission)

    def _note_status(self, submission: Submission, now: Pending) -> None:
        if now.status == submission.status:
            return
        submission.status = now.status
        self._run.observer.changed(submission, now.detail)
