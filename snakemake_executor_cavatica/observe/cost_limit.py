"""What a run may cost: once that is reached, no task is started any more, and the run ends.

By prices, and by guesses for what runs. A limit that only a guess has reached may turn out not to
be reached, once all prices are known: then jobs that were kept start after all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..api.clock import steady_time
from ..run.register import Submission
from .costs import Costs
from .words import several

OPTION = "--cavatica-max-cost"
RESOURCE = "cavatica_max_cost"
_SURELY = 1.0
"""Seconds in which nothing but kept jobs was seen, before the run is ended."""


class LimitedRun(Protocol):
    """What the limit asks of the run, and does to it."""

    def start_again(self, submission: Submission) -> None:
        """Start a job that was kept."""

    def waits_only_for(self, jobs: Container[Any]) -> bool:
        """Whether of Snakemake's jobs only these are under way."""

    def works_here(self) -> bool:
        """Whether a job runs on this machine."""

    def abort(self) -> None:
        """Abort all tasks."""

    def end(self, why: str) -> None:
        """End the run, and say why."""


@dataclass
class _State:
    """How far it has come."""

    kept: list[Submission] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    """Limits of which it was said that they are reached."""
    aborted: str = ""
    """Why all tasks were aborted; empty if they were not."""
    idle_since: float | None = None
    """Since when nothing but kept jobs is seen; monotonic seconds."""


class CostLimit:
    """Keeps jobs from being started that would cost more than may be spent.

    Snakemake takes those that are kept for running. Safe to use from several threads.
    """

    def __init__(
        self,
        costs: Costs,
        logger: logging.Logger,
        *,
        most: float | None = None,
        aborts: bool = False,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        """Nothing is kept yet.

        Args:
            most: what all tasks of the run may cost together; None if there is no such limit.
            aborts: whether tasks that run are aborted when that is reached.
            clock: seconds since the epoch.
        """
        self.earlier: Sequence[str] = ()
        """The interrupted runs whose tasks count, too."""
        self.reached: float | None = None
        """When a limit first kept a task from being started; seconds since the epoch."""
        self.has_ended = False
        """Whether the run ends because of the limit."""
        self._costs = costs
        self._logger = logger
        self._most = most
        self._aborts = aborts
        self._clock = clock
        self._lock = threading.Lock()
        self._state = _State()

    @property
    def is_keeping(self) -> bool:
        """Whether something is waited for before the run goes on, or ends."""
        return bool(self._state.kept or self._state.aborted)

    def allows(self, *submissions: Submission) -> bool:
        """Whether a task may be started for these jobs, which are of one rule.

        If not, they are kept until it may.
        """
        with self._lock:
            reason = self._state.aborted or self._reached(submissions[0])
            if not reason:
                self._check_prices(submissions[0])
                return True
            self.reached = self.reached or self._clock()
            self._state.kept += submissions
        self._tell(submissions[0], reason)
        return False

    def _check_prices(self, submission: Submission) -> None:
        """Say once that a limit cannot be kept."""
        is_limited = self._most is not None or submission.plan.max_cost is not None
        if is_limited and self._costs.are_untold and "" not in self._state.told:
            self._state.told.add("")
            self._logger.warning(
                "The platform does not tell what tasks cost, so that nobody knows when "
                f"{OPTION} or {RESOURCE} is reached: tasks are started as without a limit."
            )

    def look(self, run: LimitedRun) -> None:
        """See whether kept jobs may start, or the run is to end. Called again and again."""
        if self.has_ended:
            return
        if self._aborts and not self._state.aborted and (reason := self._all_reached()):
            self._state.aborted = reason
            self.reached = self.reached or self._clock()
            self._logger.warning(
                f"{reason} No further task is started; those that run are aborted."
            )
            run.abort()
        if self.is_keeping and not self._release(run):
            self._end_if_idle(run)

    def _release(self, run: LimitedRun) -> bool:
        """Start what may start after all; whether there was something."""
        with self._lock:
            reasons = [self._state.aborted or self._reached(one) for one in self._state.kept]
            free = [one for one, why in zip(self._state.kept, reasons, strict=True) if not why]
            self._state.kept = [
                one for one, why in zip(self._state.kept, reasons, strict=True) if why
            ]
        for submission in free:
            run.start_again(submission)
        return bool(free)

    def _end_if_idle(self, run: LimitedRun) -> None:
        kept = {one.info.job for one in self._state.kept}
        is_busy = run.works_here() if self._state.aborted else not run.waits_only_for(kept)
        now = time.monotonic()
        if is_busy or self._state.idle_since is None:
            self._state.idle_since = None if is_busy else now
        elif now - self._state.idle_since >= _SURELY:
            self.has_ended = True
            run.end(self._last_words())

    # ---------------------------------------------------------------------------------- words

    def _reached(self, submission: Submission) -> str:
        """Which limit keeps a job from being started; empty if none does."""
        plan = submission.plan
        if reason := self._all_reached():
            return reason
        if plan.max_cost is None:
            return ""
        spent = self._costs.spent(self._clock(), plan.facts.rule)
        if spent.total < plan.max_cost:
            return ""
        return (
            f"Rule {plan.facts.rule} has reached its limit: its tasks have cost {spent}, and its "
            f"resource {RESOURCE} is {plan.max_cost:g}."
        )

    def _all_reached(self) -> str:
        if self._most is None:
            return ""
        spent = self._costs.spent(self._clock())
        if spent.total < self._most:
            return ""
        earlier = f", with those of the interrupted {_runs(self.earlier)}," if self.earlier else ""
        return f"The limit of {OPTION} {self._most:g} is reached: the tasks{earlier} cost {spent}."

    def _tell(self, submission: Submission, reason: str) -> None:
        """Say once for each limit that it is reached."""
        which = submission.plan.facts.rule if reason.startswith("Rule") else OPTION
        if which not in self._state.told and not self._state.aborted:
            self._state.told.add(which)
            self._logger.warning(f"{reason} No further task is started; those that run finish.")

    def _last_words(self) -> str:
        whole = self._all_reached() or self._state.aborted
        reasons = [whole] if whole else dict.fromkeys(map(self._reached, self._state.kept))
        told = " ".join(filter(None, reasons))
        if self._state.kept:
            told += f" {several(len(self._state.kept), 'job')} that could start did not."
        return f"{told} The same command with a higher limit goes on from here."


def _runs(names: Sequence[str]) -> str:
    return f"run{'' if len(names) == 1 else 's'} {', '.join(names)}"
