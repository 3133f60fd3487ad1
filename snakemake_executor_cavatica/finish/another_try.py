"""Whether and how a job runs again for a reason that its next try can do without.

Such tries are no attempts of Snakemake's: the rule's `retries` are for what the command itself does
wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from ..launch.planner import Planner
from ..plan.instance_types import disk_of
from ..plan.plan import JobPlan
from ..plan.resizing import has_less_memory, more_disk, more_memory
from ..run.context import RunContext
from ..run.register import Submission
from ..translate.measured import NOTHING
from .evidence import Finding, Reason

_PAUSE = 60.0
"""Seconds that the platform gets to be over a fault of its own."""
_LOCAL_PAUSE = 1.0
_CHOSEN = "on an instance that the platform chooses"


class AnotherTry:
    """Starts jobs again that lost their spot instance, ran out of memory or disk, or met a fault of
    the platform.
    """

    def __init__(
        self,
        run: RunContext,
        planner: Planner,
        start_again: Callable[[Submission], None],
        spot_retries: int,
    ) -> None:
        """`spot_retries`: how often a job gets another spot instance (--preemptible-retries)."""
        self._run = run
        self._planner = planner
        self._start_again = start_again
        self._spot_retries = spot_retries
        self._met_a_fault: set[str] = set()
        """Jobs that go again after one, whichever of Snakemake's attempts they are at."""

    def start(self, submission: Submission, finding: Finding) -> bool:
        """Start a new task for the job, if another try may help; whether it was started."""
        if self._run.cancelled.is_set():
            return False
        how = self._how(submission, finding)
        if how is None:
            return False
        self._run.logger.warning(f"{submission.title}: {finding.sentence} Trying again {how}.")
        self._run.register.leave(submission)
        self._run.observer.failed(submission, finding.sentence)
        submission.task, submission.status, submission.ended = None, "", False
        submission.measured = NOTHING
        if finding.may_pass:
            self._start_later(submission)
        else:
            self._start_again(submission)
        return True

    def _start_later(self, submission: Submission) -> None:
        def start() -> None:
            if not self._run.cancelled.is_set():
                self._start_again(submission)

        timer = threading.Timer(self._pause, start)
        timer.daemon = True  # at the end of a run that is cancelled nothing waits
        timer.start()

    @property
    def _pause(self) -> float:
        return _LOCAL_PAUSE if self._run.connection.is_local else _PAUSE

    def _how(self, submission: Submission, finding: Finding) -> str | None:
        """Plan the next try, and say what is different in it; None if there is none."""
        reason = finding.reason
        if finding.may_pass:
            return self._after_a_pause(submission)
        if reason is Reason.SPOT_LOSS:
            return self._elsewhere(submission)
        if submission.has_less and (otherwise := _otherwise(submission, reason)):
            self._planner.keep_as_asked(submission.plan.facts.rule)
            return self._as_asked(submission, otherwise)
        if reason is Reason.OUT_OF_MEMORY:
            return self._with_more(submission, "memory")
        if reason is Reason.DISK_FULL:
            return self._with_more(submission, "disk")
        return None

    def _after_a_pause(self, submission: Submission) -> str | None:
        """Once: what goes on for longer, or comes again, is nothing that waiting helps against."""
        if submission.info is None or submission.identity in self._met_a_fault:
            return None
        self._met_a_fault.add(submission.identity)
        how = f"once, in {self._pause:.0f} s"
        if _is_on_smaller_disk(submission):  # there may be no such instance to be had
            return self._as_asked(submission, f"{how}, {_CHOSEN}")
        submission.planned = _not_in_a_batch(submission.plan)
        return how

    def _elsewhere(self, submission: Submission) -> str | None:
        """Another instance; one on demand is not lost to the spot market."""
        plan = _not_in_a_batch(submission.plan)
        if plan.settings.interruptible is False:
            return None
        submission.spot_losses += 1
        submission.planned = plan
        if submission.spot_losses <= self._spot_retries:
            return "on another one"
        submission.planned = replace(plan, settings=replace(plan.settings, interruptible=False))
        return "on demand"

    def _as_asked(self, submission: Submission, otherwise: str) -> str:
        """What was enough in earlier runs is not enough for this job."""
        asked, settings = submission.as_asked, submission.plan.settings
        assert asked is not None
        submission.has_less = False
        settings = replace(asked.settings, interruptible=settings.interruptible)
        submission.planned = replace(asked, settings=settings, batched=False, packed=1)
        return otherwise

    def _with_more(self, submission: Submission, what: str) -> str | None:
        plan = submission.plan
        changed = self._more(submission, what) if plan.memory_retries else None
        if submission.info is None or changed is None:
            return None
        self._planner.begin_with(submission, changed)
        if submission.tries_with_more >= plan.memory_retries:
            return None
        submission.tries_with_more += 1
        submission.as_asked = submission.as_asked or plan
        facts = plan.facts
        if what == "memory" and submission.larger:
            facts, *submission.larger = submission.larger
        resources = {**plan.facts.resources, **changed}
        larger = self._planner.plan_alone(replace(facts, resources=resources))
        settings = replace(larger.settings, interruptible=plan.settings.interruptible)
        submission.planned = replace(larger, settings=settings)
        amount = changed["mem_mb" if what == "memory" else "disk_mb"]
        return f"with {amount} MB of {what}"

    def _more(self, submission: Submission, what: str) -> Mapping[str, object] | None:
        more = more_memory if what == "memory" else more_disk
        return more(submission.plan.facts, self._planner.defaults)


def _not_in_a_batch(plan: JobPlan) -> JobPlan:
    """For a job that has not failed by itself. Of a pack all have lost their task: they go on
    sharing one, where each alone would pay the start of an instance.
    """
    return replace(plan, batched=False)


def _otherwise(submission: Submission, reason: Reason) -> str | None:
    """What is different for a job as its rule asks, if that may help; None if not."""
    plan, asked = submission.plan, submission.as_asked
    assert asked is not None
    if reason is Reason.OUT_OF_MEMORY and has_less_memory(plan, asked):
        memory = asked.facts.resources.get("mem_mb")
        return f"with the {memory} MB that its rule asks for" if memory else _CHOSEN
    if reason is Reason.DISK_FULL and _is_on_smaller_disk(submission):
        return f"with a disk of {disk_of(asked.settings.instance_type)} GB"
    return _CHOSEN if reason is Reason.INSTANCE and _is_on_smaller_disk(submission) else None


def _is_on_smaller_disk(submission: Submission) -> bool:
    """Whether its instance was named for the sake of its disk."""
    return submission.plan.settings.instance_by_use is not None
