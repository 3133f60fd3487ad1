"""What an attempt took, as a report compares it. Pure.

A number is None where it is not known, or would not mean what its name says: the duration of a
failed job, or what a task had measured long ago, when the outputs were made that were taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..entries import Attempt, Status
from .boxes import Box, box

Figure = Callable[[Attempt], float | None]
_FAILED = (Status.FAILED, Status.CANCELLED)


def seconds(attempt: Attempt) -> float | None:
    """How long a job took: its task, or what it measured itself where it shared one."""
    if attempt.shared == "pack":
        return None if attempt.measured.is_old else attempt.measured.wall_seconds
    return attempt.run_seconds


def duration(attempt: Attempt) -> float | None:
    """The same, of jobs that were done."""
    return seconds(attempt) if attempt.status is Status.DONE else None


def queue(attempt: Attempt) -> float | None:
    """How long it waited for an instance."""
    return attempt.queue_seconds


def memory_share(attempt: Attempt) -> float | None:
    """Peak memory of what was asked, in percent."""
    peak = peak_memory(attempt)
    return None if peak is None or not attempt.memory_mib else 100 * peak / attempt.memory_mib


def peak_memory(attempt: Attempt) -> float | None:
    """MiB of a job that was done."""
    is_meant = attempt.status is Status.DONE and not attempt.measured.is_old
    return attempt.measured.peak_memory_mib if is_meant else None


def cores_used(attempt: Attempt) -> float | None:
    """How many cores were busy, on average over the time of a job that was done."""
    measured = attempt.measured
    if attempt.status is not Status.DONE or measured.is_old:
        return None
    if measured.cpu_seconds is None or not measured.wall_seconds:
        return None
    return measured.cpu_seconds / measured.wall_seconds


def cpu_share(attempt: Attempt) -> float | None:
    """Cores used of those that were asked, in percent."""
    used = cores_used(attempt)
    return None if used is None or not attempt.cores else 100 * used / attempt.cores


def cost(attempt: Attempt) -> float | None:
    """What the platform asks for it."""
    return attempt.price


PLOTS: dict[str, Figure] = {
    "duration": duration,
    "queue": queue,
    "memory": memory_share,
    "cpu": cpu_share,
    "cost": cost,
}
"""What has a box plot, by the names that the page uses too."""


@dataclass(frozen=True)
class RuleFigures:
    """The attempts of one rule, or group, or of the tasks that make environments."""

    rule: str
    attempts: int
    failed: int
    boxes: dict[str, Box]
    """Of `PLOTS`, as far as anything is known."""
    asked_mib: tuple[int, int] | None
    """The least and the most memory that was asked for."""
    peak_mib: float | None
    asked_cores: tuple[int, int] | None
    most_cores: float | None
    """Used, on average over the time of one job."""
    cost: float | None


def of_rules(attempts: Iterable[Attempt]) -> list[RuleFigures]:
    """All rules, in the order in which they first began."""
    by_rule: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_rule.setdefault(attempt.rule, []).append(attempt)
    return [_of_rule(rule, found) for rule, found in by_rule.items()]


def _of_rule(rule: str, attempts: Sequence[Attempt]) -> RuleFigures:
    boxes = {name: box(known(figure, attempts)) for name, figure in PLOTS.items()}
    costs = known(cost, attempts)
    return RuleFigures(
        rule=rule,
        attempts=len(attempts),
        failed=sum(one.status in _FAILED for one in attempts),
        boxes={name: found for name, found in boxes.items() if found is not None},
        asked_mib=_range([one.memory_mib for one in attempts]),
        peak_mib=max(known(peak_memory, attempts), default=None),
        asked_cores=_range([one.cores for one in attempts]),
        most_cores=max(known(cores_used, attempts), default=None),
        cost=sum(costs) if costs else None,
    )


def known(figure: Figure, attempts: Iterable[Attempt]) -> list[float]:
    """The values of a figure that there are."""
    values = map(figure, attempts)
    return [value for value in values if value is not None]


def _range(values: Iterable[int | None]) -> tuple[int, int] | None:
    found = [value for value in values if value is not None]
    return (min(found), max(found)) if found else None
