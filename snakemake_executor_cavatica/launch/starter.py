"""Takes jobs from Snakemake to the point where their tasks are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..read.snakemake_jobs import clear_outputs
from ..run.context import RunContext
from ..run.failing import Failing
from ..run.register import Submission
from .environments import Environments
from .gather import Gatherer
from .launcher import Launcher
from .old_versions import OldVersions
from .planner import Planner
from .shared_tasks import SharedTasks
from .small_inputs import SmallInputs

SUBMIT_THREADS = 16
_TOGETHER = 25
"""Jobs that are planned before the first of them is submitted, at most."""

Await = Callable[[Coroutine[Any, Any, Any]], Any]
"""Snakemake's way to wait for what is asynchronous, from its own thread."""


class Starter:
    """Starts the jobs of a run."""

    def __init__(
        self,
        run: RunContext,
        planner: Planner,
        environments: Environments,
        old_versions: OldVersions,
        *,
        launcher: Launcher,
        shared_tasks: SharedTasks,
        failing: Failing,
    ) -> None:
        self._run = run
        self._planner = planner
        self._environments = environments
        self._old_versions = old_versions
        self._launcher = launcher
        self._failing = failing
        self._submitters = ThreadPoolExecutor(SUBMIT_THREADS, "cavatica-submit")
        self._small_inputs = SmallInputs(
            launcher.lacks_small_inputs,
            launcher.send_small_inputs,
            self._submitters,
            failing.guard,
            run.logger,
        )
        self._gatherer = Gatherer(launcher, shared_tasks, self._small_inputs, failing.guard)

    def start_jobs(self, jobs: list[Any], before: Callable[[Any], None], wait: Await) -> None:
        """Plan jobs here, where Snakemake's objects are at rest; threads submit them.

        Many at a time, since it takes longer to start Snakemake's event loop than to use it.

        Args:
            before: called for each job first.
        """
        with self._gatherer.planning(), self._small_inputs.planning():
            for first in range(0, len(jobs), _TOGETHER):
                self._start_some(jobs[first : first + _TOGETHER], before, wait)

    def _start_some(self, jobs: list[Any], before: Callable[[Any], None], wait: Await) -> None:
        submissions = []
        for job in jobs:
            before(job)
            submissions.append(self._planner.submission(job))
            self._failing.guarded(submissions[-1], self._planner.plan)
        planned = [one for one in submissions if one.planned is not None]
        outcomes = wait(_all_of(clear_outputs(one.info.job) for one in planned))
        for submission, error in zip(planned, outcomes, strict=True):
            self._failing.guarded(submission, partial(self._launch, error=error))

    def _launch(self, submission: Submission, error: BaseException | None) -> None:
        """Start a job soon, unless its outputs could not be removed."""
        if error is not None:
            raise error
        self._planner.plan_without_old_files(submission)
        self._old_versions.save(submission.info.job)
        self.start(submission)

    def start(self, submission: Submission) -> None:
        """Start a planned job, or start it again, as soon as it lacks nothing."""
        if not self._may_start(submission):
            return
        if submission.plan.needs_environment:
            self._start_later(submission)
        else:
            self._start(submission)

    def _may_start(self, submission: Submission) -> bool:
        """Whether a job may cost something, or may have something that an earlier run has paid.

        Asked once more before its task is made: this spares what comes before that.
        """
        plan = submission.plan
        is_taken = plan.reuse and not (submission.is_forced or plan.needs_environment)
        has_leftover = self._run.takeover.leftovers.attempt(submission.identity) > 0
        return bool(is_taken) or has_leftover or self._run.limit.allows(submission)

    def _start(self, submission: Submission) -> None:
        """Start a job that lacks nothing, alone or with others."""
        if submission.plan.batched or submission.plan.packed > 1:
            self._gatherer.add(submission)
        else:
            start = partial(self._failing.guarded, submission, self._launcher.start)
            self._small_inputs.then(submission, start)

    def _start_in_environment(self, submission: Submission) -> None:
        """Start a job once its conda environments are there; until then nothing is held up."""
        if self._environments.are_ready(submission, partial(self._start_later, submission)):
            self._start(submission)

    def _start_later(self, submission: Submission) -> None:
        if not self._run.cancelled.is_set():
            self._submitters.submit(self._failing.guarded, submission, self._start_in_environment)

    def close(self) -> None:
        """Start nothing any more, and wait until nothing is being started."""
        self._small_inputs.close()
        self._gatherer.close()
        self._environments.close()
        self._submitters.shutdown(wait=True, cancel_futures=True)


async def _all_of(steps: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
    """Take steps that do not depend on one another; the error of each, or None."""
    return await asyncio.gather(*steps, return_exceptions=True)
