"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from ..api import CavaticaError, NoAnswer, RateLimited, ServerError, UnexpectedAnswer
from ..read.facts import Refusal

UNANSWERED = (NoAnswer, RateLimited, ServerError, UnexpectedAnswer)
"""What says nothing of the run, but of the platform at this moment."""


class Grade(StrEnum):
    """How bad it is."""

    PROBLEM = "problem"
    """The run, or a job of it, cannot work like this."""
    REMARK = "remark"
    """Something to know, or that could not be found out."""


@dataclass(frozen=True)
class Finding:
    """One of it, in the sentence that the run would say: what, why, and what to do."""

    text: str
    rule: str = ""
    """Empty if it is about the whole run."""
    grade: Grade = Grade.PROBLEM
    jobs: int = 0
    """Of the rule, how many jobs; 0 where it is not about single ones."""

    @property
    def is_problem(self) -> bool:
        """Whether something cannot work like this."""
        return self.grade is Grade.PROBLEM

    def __str__(self) -> str:
        others = f" ({self.jobs} jobs.)" if self.jobs > 1 else ""
        return f"{self.text}{others}"


def remark(text: str, rule: str = "") -> Finding:
    """Something to know."""
    return Finding(text, rule, Grade.REMARK)


class NotChecked(CavaticaError):
    """The platform does not answer, so that nothing can be said."""


class CheckFailed(CavaticaError):
    """The run is not begun; the message holds all problems."""


@contextmanager
def noted(findings: list[Finding], rule: str = "") -> Iterator[None]:
    """What a run would refuse becomes a finding, maybe of a rule.

    Raises:
        NotChecked: the platform does not answer.
    """
    try:
        yield
    except UNANSWERED as error:
        raise NotChecked(str(error)) from error
    except CavaticaError as error:
        named = error.rule if isinstance(error, Refusal) else rule
        findings.append(Finding(str(error), named))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each once: problems before remarks, the run before its rules."""
    unique = dict.fromkeys(findings)
    return sorted(unique, key=lambda one: (not one.is_problem, bool(one.rule)))


def without_repetition(findings: Iterable[Finding]) -> list[str]:
    """Each as a sentence; what would be said of several rules in the same words is said of the
    first of them, with the names of the others: one container: may be that of all rules.
    """
    alike: dict[str, list[Finding]] = {}
    for one in findings:
        words = one.text.replace(f"ule {one.rule} ", "ule ", 1) if one.rule else one.text
        alike.setdefault(words, []).append(one)
    return [_of_all(some) for some in alike.values()]


def _of_all(some: Sequence[Finding]) -> str:
    first, *others = some
    if not others:
        return str(first)
    return f"{first} The same holds for {', '.join(one.rule for one in others)}."


def as_one_message(problems: Sequence[Finding]) -> str:
    """What is said where a run is not begun."""
    way_out = "Nothing was started. --cavatica-check off goes on in spite of it."
    if len(problems) == 1:
        return f"{problems[0]} {way_out}"
    told = "\n".join(f"  * {one}" for one in without_repetition(problems))
    return f"{len(problems)} problems were found before the run began:\n{told}\n{way_out}"
