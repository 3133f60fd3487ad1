"""One line every few minutes: how far the run is, what it has cost, and how long it may take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from .costs import Costs
from .entries import Attempt, Status
from .jobs import OF_SNAKEMAKE, last_attempts
from .words import duration

_SELDOM = 300.0
"""Seconds between two lines."""
_OFTEN = 60.0
"""The same when much has changed."""
_MUCH = 0.1
"""A tenth of all jobs."""


class Progress:
    """When there is something to tell, and what. Counts cheaply, and looks at all seldom."""

    def __init__(self, run: str, planned: Mapping[str, int], began: float) -> None:
        """Nothing is told yet.

        Args:
            run: the id of the run.
            planned: jobs by rule.
            began: seconds since the epoch.
        """
        self._run = run
        self._planned = planned
        self._told = began
        self._ended = 0
        self._ended_then = 0

    def note(self, attempt: Attempt, before: Attempt | None) -> None:
        """An attempt is new, or has changed."""
        if attempt.status.is_over and not (before is not None and before.status.is_over):
            self._ended += 1

    def is_due(self, now: float) -> bool:
        """Whether to tell how the run stands; True only once for each line."""
        news = self._ended - self._ended_then
        is_much = news > 0 and news >= _MUCH * sum(self._planned.values())
        if now - self._told < (_OFTEN if is_much else _SELDOM):
            return False
        self._told, self._ended_then = now, self._ended
        return True

    def line(
        self, attempts: Iterable[Attempt], costs: Costs, now: float, *, is_over: bool = False
    ) -> str:
        """How the run stands; how long it takes only as long as something goes on."""
        jobs = self._jobs(attempts)
        counts = Counter(one.status for one in last_attempts(jobs))
        done = counts[Status.DONE] + counts[Status.REUSED]
        states = [
            f"{counts[status]} {status}"
            for status in (Status.RUNNING, Status.QUEUED, Status.FAILED)
            if counts[status]
        ]
        whole = f" of {max(done, sum(self._planned.values()))}" if self._planned else ""
        told = ", ".join([f"{done}{whole} jobs done", *states])
        if is_over:
            return f"CAVATICA: {told}; {costs.spent(now)}"
        left = self._left(jobs)
        when = "time left unknown" if left is None else f"about {duration(left)} left"
        return f"CAVATICA: {told}; {costs.spent(now)} so far; {when}"

    def seconds_left(self, attempts: Iterable[Attempt]) -> float | None:
        """How long the rest may take; None if that is not known."""
        return self._left(self._jobs(attempts))

    def _jobs(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        own = (one for one in attempts if one.is_of(self._run))
        return [one for one in own if one.kind in OF_SNAKEMAKE]

    def _left(self, jobs: Iterable[Attempt]) -> float | None:
        """By what jobs of these rules took so far, as many at a time as now; None if unknown."""
        left = Counter(self._planned)
        took: defaultdict[str, list[float]] = defaultdict(list)
        at_once = 0
        for one in jobs:
            at_once += one.status is Status.RUNNING
            if one.status in (Status.DONE, Status.REUSED):
                left[one.rule] -= 1
                took[one.rule] += [one.run_seconds] if one.run_seconds else []
        open_rules = {rule: number for rule, number in left.items() if number > 0}
        if not at_once or not all(took.get(rule) for rule in open_rules):
            return None
        means = {rule: sum(took[rule]) / len(took[rule]) for rule in open_rules}
        work = sum(means[rule] * number for rule, number in open_rules.items())
        return max([work / at_once, *means.values()])
