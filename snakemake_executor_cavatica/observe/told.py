"""What is known of a run, from wherever it is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..translate.shared_task import task_id_of
from .entries import Attempt, Run
from .record import Record
from .standing import Standing, standing_of


@dataclass(frozen=True)
class Told:
    """A run, and those that it went on with."""

    runs: tuple[Run, ...]
    """In the order in which they worked on it; at least one."""
    attempts: tuple[Attempt, ...]
    standing: Standing
    """Of the last run."""
    remarks: tuple[str, ...] = ()
    """Sentences about what is not known."""
    folder: Path | None = None
    """Of the record; None if the platform alone has told."""
    is_current: bool = True
    """Whether what may still change was asked for, and told."""
    requests: int = 0
    """That the platform took to tell it."""
    host: str = ""
    """The machine that it runs, or ran, on, if the platform has told."""
    overhead: tuple[Attempt, ...] = ()
    """What is no job, and costs as well: the main process, if it is a task."""

    @property
    def run(self) -> Run:
        """The last one."""
        return self.runs[-1]

    @property
    def own(self) -> list[Attempt]:
        """The attempts that the last run has begun, or taken up."""
        return [one for one in self.attempts if one.is_of(self.run.id)]

    @property
    def paid(self) -> tuple[Attempt, ...]:
        """All that costs."""
        return (*self.attempts, *self.overhead)

    def of_task(self, task: str) -> list[Attempt]:
        """The attempts that a task was, or is: several if jobs share it."""
        return [one for one in self.attempts if task in (one.task, task_id_of(one.task or ""))]

    @property
    def source(self) -> str:
        """Who has told."""
        return "platform" if self.folder is None or self.overhead else "record"

    def with_remarks(self, *more: str) -> Told:
        """With further sentences about what is not known."""
        return replace(self, remarks=(*self.remarks, *more))


def told_by(record: Record) -> Told:
    """What a record tells, which is about at least one run."""
    run = record.runs[-1]
    return Told(record.runs, record.attempts, standing_of(run), record.remarks, record.folder)
