"""Jobs that had enough memory only after more than their rule asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..plan.resizing import Job
from .entries import Attempt, Status

MB_PER_MIB = 1.048576


@dataclass(frozen=True)
class Needed:
    """What jobs of one rule needed."""

    rule: str
    by_job: dict[Job, int]
    """MB with which each was done."""
    others: frozenset[Job]
    """Those that were done with what the rule asks for."""

    @property
    def jobs(self) -> int:
        """All that were done."""
        return len(self.by_job) + len(self.others)

    @property
    def most(self) -> int:
        """MB that were enough for all."""
        return max(self.by_job.values())

    @property
    def is_usual(self) -> bool:
        """Whether at least half of the jobs needed more than the rule asks for."""
        return 2 * len(self.by_job) >= self.jobs


def needed_memory(attempts: Iterable[Attempt]) -> list[Needed]:
    """Of each rule that had such jobs. Of several attempts at a job that were done the last counts.

    Args:
        attempts: the older ones first.
    """
    last: dict[str, dict[Job, Attempt]] = {}
    for one in attempts:
        if one.kind == "job" and one.status is Status.DONE:
            job = one.rule, tuple(sorted(one.wildcards.items()))
            last.setdefault(one.rule, {})[job] = one
    found = []
    for rule, done in last.items():
        by_job = {job: megabytes(one.memory_mib) for job, one in done.items() if _has_more(one)}
        found += [Needed(rule, by_job, frozenset(done.keys() - by_job.keys()))] if by_job else []
    return found


def _has_more(attempt: Attempt) -> bool:
    of_rule = attempt.memory_of_rule_mib
    return of_rule is not None and (attempt.memory_mib or 0) > of_rule


def megabytes(mebibytes: int | None) -> int:
    """What was asked for in MB, of which each began a MiB."""
    return int((mebibytes or 0) * MB_PER_MIB)
