"""What it was worth that jobs had less memory, or disk, than as their rules ask. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..plan.instance_types import DEFAULT_DISK_GB
from .entries import Attempt, Status
from .needed_memory import megabytes
from .report.prices import Comparison, Shape, compare
from .words import money, several


@dataclass(frozen=True)
class Less:
    """What jobs of a rule have at most, and what they would have as it asks; where it is less."""

    memory: tuple[int, int] | None
    """MB."""
    disk: tuple[int, int] | None
    """GB."""

    def __str__(self) -> str:
        told = []
        if self.memory is not None:
            told.append(f"{self.memory[0]} MB instead of {self.memory[1]}")
        if self.disk is not None:
            told.append(f"a disk of {self.disk[0]} GB instead of {self.disk[1]}")
        return " and ".join(told)


@dataclass(frozen=True)
class Saved:
    """Of the jobs of one rule."""

    rule: str
    jobs: int
    """That were done with less."""
    less: Less
    amount: float | None
    """What more they would have cost; None where that cannot be known."""
    in_vain: float
    """What attempts with too little have cost."""
    currency: str
    source: str
    """The sentence that says how the amount is known."""

    def __str__(self) -> str:
        had = f"rule {self.rule} had {self.less} in {several(self.jobs, 'job')}"
        if self.amount is None:
            return f"{had}; what that saved is not known"
        net = money(self.amount - self.in_vain, self.currency)
        less = f" (without {money(self.in_vain)} for attempts that had too little)"
        return f"{had}, which saved about {net}{less if self.in_vain else ''}, {self.source}"


def saved_by_right_size(attempts: Sequence[Attempt], *, is_priced_by_instance: bool) -> list[Saved]:
    """Of each rule that had such jobs, in the order in which they began.

    Args:
        attempts: all of the record.
        is_priced_by_instance: whether the platform is one that bills what its instances cost.
    """
    by_rule: dict[str, list[Attempt]] = {}
    for one in attempts:
        if _has_less_memory(one) or one.disk_gb is not None:
            by_rule.setdefault(one.rule, []).append(one)
    found = []
    for rule, smaller in by_rule.items():
        done = [one for one in smaller if one.status is Status.DONE]
        if done:
            comparisons = [
                _compared(one, attempts, is_priced_by_instance=is_priced_by_instance)
                for one in done
            ]
            found.append(_saved(rule, done, smaller, comparisons))
    return found


def _has_less_memory(attempt: Attempt) -> bool:
    of_rule = attempt.memory_of_rule_mib
    return of_rule is not None and (attempt.memory_mib or 0) < of_rule


def _compared(
    attempt: Attempt, attempts: Sequence[Attempt], *, is_priced_by_instance: bool
) -> Comparison | None:
    """What its second cost by what one would have cost as its rule asks."""
    if attempt.cores is None or attempt.memory_of_rule_mib is None or attempt.instance:
        return None
    disk = attempt.disk_of_rule_gb or DEFAULT_DISK_GB
    of_rule = Shape(attempt.cores, attempt.memory_of_rule_mib, disk)
    had = Shape(attempt.cores, attempt.memory_mib or 0, attempt.disk_gb or disk)
    return compare(of_rule, had, attempts, is_priced_by_instance=is_priced_by_instance)


def _saved(
    rule: str,
    done: Sequence[Attempt],
    smaller: Iterable[Attempt],
    comparisons: Sequence[Comparison | None],
) -> Saved:
    worth = [
        one.price * (1 / comparison.share - 1)
        for one, comparison in zip(done, comparisons, strict=True)
        if one.price is not None and comparison is not None and comparison.share > 0
    ]
    return Saved(
        rule,
        len(done),
        _less(done),
        sum(worth) if len(worth) == len(done) else None,
        sum(one.price or 0.0 for one in smaller if one.status is not Status.DONE),
        done[0].currency,
        next((one.source for one in comparisons if one is not None), ""),
    )


def _less(done: Sequence[Attempt]) -> Less:
    memory = [
        (megabytes(one.memory_mib), megabytes(one.memory_of_rule_mib))
        for one in done
        if _has_less_memory(one)
    ]
    disks = [
        (one.disk_gb, one.disk_of_rule_gb or DEFAULT_DISK_GB)
        for one in done
        if one.disk_gb is not None
    ]
    return Less(_most(memory), _most(disks))


def _most(pairs: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    return (max(had for had, _ in pairs), max(asked for _, asked in pairs)) if pairs else None
