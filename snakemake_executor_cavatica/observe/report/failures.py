"""The attempts that failed, those of jobs that were not done in the end first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..entries import Attempt, Status
from ..jobs import job_of
from .links import safe_link

MOST_SHOWN = 200
"""Failures with the end of their stderr; the table has all."""
_LONGEST_SENTENCE = 1000


@dataclass(frozen=True)
class Failure:
    """One of them."""

    title: str
    attempt: int
    reason: str
    sentence: str
    """What happened, and what to do."""
    details: str
    """What else was told: logs that are on the platform."""
    stderr: str
    page: str | None


@dataclass(frozen=True)
class Failures:
    """All of them; `shown` and `retried` are the details of some."""

    shown: tuple[Failure, ...]
    """Of jobs that were not done in the end."""
    retried: tuple[Failure, ...]
    """Of jobs that were done later, or may be."""
    number: int
    number_retried: int
    by_reason: tuple[tuple[str, int], ...]
    """How often which reason, the most frequent first."""


def failures(attempts: Sequence[Attempt]) -> Failures:
    """What has failed, by a record."""
    last = {job_of(one): one.id for one in attempts}
    failed = [one for one in attempts if one.status is Status.FAILED]
    final = [one for one in failed if last[job_of(one)] == one.id]
    others = [one for one in failed if last[job_of(one)] != one.id]
    reasons = Counter(reason_of(one) for one in failed)
    return Failures(
        shown=tuple(map(_failure, final[:MOST_SHOWN])),
        retried=tuple(map(_failure, others[: MOST_SHOWN - len(final[:MOST_SHOWN])])),
        number=len(final),
        number_retried=len(others),
        by_reason=tuple(reasons.most_common()),
    )


def reason_of(attempt: Attempt) -> str:
    """In words."""
    return attempt.reason.replace("_", " ") or "reason unknown"


def sentence_of(attempt: Attempt) -> str:
    """What happened, and what to do, without the job's name: the first line of what was told."""
    sentence = attempt.message.strip().partition("\n")[0].removeprefix(f"{attempt.title}: ")
    return sentence[:1].upper() + sentence[1:_LONGEST_SENTENCE]


def _failure(attempt: Attempt) -> Failure:
    # The task's page and the end of stderr are here by themselves.
    rest = [line for line in attempt.message.splitlines()[1:] if not line.startswith("Task: ")]
    return Failure(
        title=attempt.title,
        attempt=attempt.number,
        reason=reason_of(attempt),
        sentence=sentence_of(attempt),
        details="" if attempt.stderr_end else "\n".join(rest).strip(),
        stderr=attempt.stderr_end.strip("\n"),
        page=safe_link(attempt.page),
    )
