"""What is known of a failed task, and the reasons for which one may fail. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from ..plan.plan import JobPlan
from ..translate.task_report import JobReport
from ..watch.outcome import Failed
from . import phrases
from .foreign_text import LONGEST_TEXT
from .member import logs_of

_SIGNALS_FROM = 128
"""A shell adds this to the number of the signal that ended a command."""
_SIGNALS = {one.value: one.name for one in signal.Signals if one < signal.SIGRTMIN}
KILLED = _SIGNALS_FROM + signal.SIGKILL
STOPPED = (KILLED, _SIGNALS_FROM + signal.SIGTERM)


class Reason(StrEnum):
    """Why a task ended without success."""

    COMMAND = "command"
    """The command failed, for reasons of its own."""
    OUTPUTS = "outputs"
    """Outputs are missing, or are not what the rule declares."""
    SETUP = "setup"
    """The job script could not prepare the command or keep its outputs."""
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    TIME_LIMIT = "time limit"
    INSTANCE = "instance"
    """There is no instance as the job asks for."""
    INPUT = "input"
    """The task could not be given an input."""
    IMAGE = "image"
    """The container's image could not be had."""
    SPOT_LOSS = "spot loss"
    """The platform says that it took the spot instance away. Nothing is wrong with the job."""
    PLATFORM = "platform"
    """Anything else on the platform's side, also what it does not explain."""
    ABORTED = "aborted"
    """Somebody aborted the task."""
    NOT_STARTED = "not started"
    """The task is a draft again."""
    LOST = "lost"
    """There is no such task any more."""


@dataclass(frozen=True)
class SideFile:
    """A file that an earlier task made and that a job did not get."""

    path: str
    """In the working directory of the task."""
    task: str
    """Its name: rule and wildcards."""
    link: str
    """The task's page."""
    beside: str
    """The output of that task by which it was found."""
    is_named: bool = False
    """Whether the job that failed speaks of it."""
    is_declared: bool = False
    """Whether it is an output of its task, and only not an input of the job."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a failed task beside its document."""

    report: JobReport = field(default_factory=JobReport)
    """By the job script; of stderr and logs only the ends."""
    message: str = ""
    """That of the execution details."""
    seconds: float | None = None
    """How long the task's last job took, staging included."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Names of its input files by id, where the platform tells of one."""
    side_files: Sequence[SideFile] = ()
    """What earlier tasks made and did not declare, if the job seems to miss a file."""
    trouble: str = ""
    """Why more is not known."""


@dataclass(frozen=True)
class Finding:
    """A reason in words: one sentence that says what happened, and what to do."""

    reason: Reason
    sentence: str
    advice: str = ""
    may_pass: bool = False
    """Whether it is the platform's own fault, and may be over in a while."""


_LAST_WORDS = 100
"""Lines at the end of stderr in which they count: later ones tell of the end."""


@dataclass(frozen=True)
class Case:
    """A failed task with all evidence."""

    plan: JobPlan
    result: Failed
    evidence: Evidence

    @property
    def report(self) -> JobReport:
        """What the job script reported."""
        return self.evidence.report

    @cached_property
    def told(self) -> str:
        """What the platform says; codes such as OUT_OF_MEMORY are read as words."""
        texts = (self.result.reason, self.evidence.message)
        return " ".join(text[: 4 * LONGEST_TEXT] for text in texts).replace("_", " ")

    @property
    def exit_status(self) -> int | None:
        """The command's, by the job script, or else by what the platform says."""
        if self.report.exit_status is not None:
            return self.report.exit_status
        found = phrases.EXIT_STATUS.search(self.told)
        return int(found[1]) if found else None

    @property
    def began(self) -> bool:
        """Whether the job script is known to have run."""
        return self.report.started or self.report.exit_status is not None

    @property
    def lacks_program(self) -> bool:
        """Whether a program was not found, or a package of software that was not asked for."""
        unused = self.plan.facts.software_unused
        return (
            self.exit_status == NOT_FOUND
            or bool(self.last_words(phrases.NO_PROGRAM_WORDS))
            or (bool(unused) and bool(self.last_words(phrases.NO_PACKAGE_WORDS)))
        )

    @property
    def names_no_cause(self) -> bool:
        """Whether the platform says no more than that the task failed, or left no outputs."""
        if phrases.NOT_COLLECTED.search(self.told):
            return True
        return phrases.NO_CAUSE.issuperset(re.findall(r"\w+", self.told.lower()))

    @property
    def failed_by_itself(self) -> bool:
        """Whether the job script lived to see the command fail, and not by a signal."""
        status = self.report.exit_status
        return bool(status) and signal_of(status) is None

    @property
    def interruptible(self) -> bool:
        """Whether the task was to run on a spot instance, as far as is known."""
        known = self.result.interruptible
        return bool(self.plan.settings.interruptible if known is None else known)

    @cached_property
    def ends(self) -> list[str]:
        """The last lines of stderr and of each log; of a group, those of the job that failed."""
        texts = (self.report.stderr, *logs_of(self.plan, self.report).values())
        return ["\n".join(text.splitlines()[-_LAST_WORDS:]) for text in texts]

    def last_words(self, wanted: re.Pattern[str]) -> str:
        """What of the wanted is in the end of stderr or of a log; empty if nothing."""
        found = next(filter(None, map(wanted.search, self.ends)), None)
        return found[0] if found else ""


NOT_EXECUTED = 126
NOT_FOUND = 127
"""The shells' own exit statuses (POSIX)."""


def signal_of(exit_status: int | None) -> str | None:
    """The name of the signal that a shell tells by an exit status."""
    return _SIGNALS.get((exit_status or 0) - _SIGNALS_FROM)
