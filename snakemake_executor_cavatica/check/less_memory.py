"""What `--cavatica-right-size` will make of rules, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..observe.needed_memory import MB_PER_MIB, megabytes
from ..observe.report.prices import Comparison, Shape, compare, is_own_machine
from ..observe.used_before import memory_of_earlier_runs
from .jobs import RuleJobs
from .subject import Subject


@dataclass(frozen=True)
class LessMemory:
    """Of one rule."""

    rule: str
    jobs: int
    memory: int
    """MB that its jobs will have."""
    of_rule: int
    """MB that they ask for at most."""
    price: Comparison | None
    """Of a second, by that with what they ask for; None where that cannot be known."""

    def __str__(self) -> str:
        return (
            f"rule {self.rule} gets {self.memory} MB instead of {self.of_rule}, by earlier runs; "
            + (
                "what that saves is not known"
                if self.price is None
                else f"a second costs about {100 * self.price.share:.0f} % of what it would cost, "
                f"{self.price.source}"
            )
        )


def less_memory(subject: Subject, rules: Sequence[RuleJobs]) -> list[LessMemory]:
    """Rules that will have less than they ask for, if that is wanted."""
    settings = subject.workflow.executor_settings
    if not getattr(settings, "right_size", False):
        return []
    before = memory_of_earlier_runs(Path(), right_size=True, memory_retries=False)
    by_instance = not is_own_machine(subject.connection.client.endpoint)
    return list(smaller(rules, before.enough, is_priced_by_instance=by_instance))


def smaller(
    rules: Iterable[RuleJobs], enough: Mapping[str, int], *, is_priced_by_instance: bool
) -> Iterator[LessMemory]:
    """The same, by what is enough for each rule: MB."""
    for rule in rules:
        asked = [
            (plan.resources.memory_mib, plan.resources.cores)
            for plan in rule.plans
            if plan.resources.memory_mib and plan.facts.directive != "group"
        ]
        memory = enough.get(rule.rule)
        if not asked or memory is None:
            continue
        most, cores = max(asked)
        of_rule = megabytes(most)
        if memory < of_rule:
            now, then = Shape(cores, most), Shape(cores, round(memory / MB_PER_MIB))
            price = compare(now, then, (), is_priced_by_instance=is_priced_by_instance)
            yield LessMemory(rule.rule, len(rule.jobs), memory, of_rule, price)
