"""Which attempts are at the same job. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .entries import Attempt

Job = tuple[str, tuple[tuple[str, str], ...]]


def job_of(attempt: Attempt) -> Job:
    """What the attempts at one job have in common, also in different runs."""
    return attempt.rule, tuple(sorted(attempt.wildcards.items()))


def last_attempts(attempts: Iterable[Attempt]) -> list[Attempt]:
    """One for each job, which tells how it stands."""
    return list({job_of(one): one for one in attempts}.values())
