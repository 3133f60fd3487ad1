"""What a task has measured of its jobs, as it comes back: the counterpart of `measuring.sh`. Pure.

It is a string output of the task, so it comes with the task's document: one line for a job, and one
for each job of a pack. A platform may drop it, and a command may have written into its file; so
whatever does not read like our own line is as good as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ..api.models import Task

MEASURED = "snakemake_measured"
"""The output port."""

_LONGEST = 65_536
"""Characters that a platform hands back of a file."""
_NUMBER = r"[0-9]{1,12}"
_DECIMAL = rf"{_NUMBER}\.[0-9]{{2}}"
_LINE = re.compile(
    rf"wall (?:(?P<wall>{_DECIMAL}) s|unknown), cpu (?:(?P<cpu>{_DECIMAL}) s|unknown), "
    rf"memory (?:(?P<memory>{_DECIMAL}) MiB|unknown), "
    rf"(?:disk (?:(?P<disk>{_DECIMAL}) MiB|unknown), )?"  # not in lines of older runs
    rf"exit (?P<exit>[0-9]{{1,3}}), "
    rf"outputs (?:(?P<outputs>[0-9]{{1,18}}) B|unknown), "
    r"started (?:(?P<started>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})Z|unknown)\."
)
_LINE_OF_JOB = re.compile(r"job (?P<job>[^\s:]+): (?P<line>.*)")
_SKEW = timedelta(seconds=60)
"""What the clock of an instance may be slow."""
_ROUNDING = 2.0
"""Seconds that the platform's times of a task may be too short."""


@dataclass(frozen=True)
class Measured:
    """What a task has measured about one job; None where the instance did not tell."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_mib: float | None = None
    exit_status: int | None = None
    output_bytes: int | None = None
    peak_disk_mib: float | None = None
    """The most that was in use of the disk of its instance, by whatever is there: inputs, image,
    temporary files, outputs. Jobs that run side by side in one task share that disk, so each has at
    least what it took itself, and at most what all of them took together."""
    is_old: bool = False
    """Of a memoized task: measured when the outputs were made, not now."""

    @property
    def is_told(self) -> bool:
        """Whether there is anything in it: with the rest comes the exit status."""
        return self.exit_status is not None


NOTHING = Measured()


def read_measured(text: object) -> Measured:
    """What the line of one job says."""
    return _read(text)[0]


def measured_by(task: Task) -> Measured:
    """What a task that has ended tells of its job, by its document alone."""
    measured, started = _read(task.outputs.get(MEASURED))
    return replace(measured, is_old=_is_old(measured, started, task))


def lines_of_jobs(text: object) -> dict[str, str]:
    """The line of each job of a pack, as far as they have found room."""
    return dict(_lines_of_jobs(text))


def _lines_of_jobs(text: object) -> Iterator[tuple[str, str]]:
    if isinstance(text, str):
        for line in text[:_LONGEST].splitlines():
            if match := _LINE_OF_JOB.fullmatch(line):
                yield match["job"], match["line"]


def _read(text: object) -> tuple[Measured, datetime | None]:
    match = _LINE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        return NOTHING, None
    measured = Measured(
        wall_seconds=_number(match["wall"]),
        cpu_seconds=_number(match["cpu"]),
        peak_memory_mib=_number(match["memory"]),
        exit_status=int(match["exit"]),
        output_bytes=None if match["outputs"] is None else int(match["outputs"]),
        peak_disk_mib=_number(match["disk"]),
    )
    return measured, _moment(match["started"])


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _is_old(measured: Measured, started: datetime | None, task: Task) -> bool:
    """Whether the job ran before the task was made, or for longer than the task did."""
    wall, made, ran = measured.wall_seconds, task.created_time, task.run_seconds
    ran_before = started is not None and made is not None and started < made - _SKEW
    return ran_before or (wall is not None and ran is not None and wall > ran + _ROUNDING)
