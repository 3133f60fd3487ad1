"""What `--cavatica-right-size` will make of rules, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..observe.needed_memory import MB_PER_MIB, megabytes
from ..observe.report.prices import Comparison, Shape, compare, is_own_machine
from ..observe.right_sized import Less
from ..observe.used_before import used_by_earlier_runs
from ..plan.instance_types import disk_of
from ..plan.plan import JobPlan
from ..plan.resizing import UsedBefore, less_memory
from ..plan.smaller_disk import less_disk
from ..read.facts import Defaults
from .jobs import RuleJobs
from .subject import Subject


@dataclass(frozen=True)
class RightSized:
    """Of one rule."""

    rule: str
    jobs: int
    less: Less
    price: Comparison | None
    """Of a second, by that with what they ask for; None where that cannot be known."""

    def __str__(self) -> str:
        return f"rule {self.rule} gets {self.less}, by earlier runs; " + (
            "what that saves is not known"
            if self.price is None
            else f"a second costs about {100 * self.price.share:.0f} % of what it would cost, "
            f"{self.price.source}"
        )


def right_sized(subject: Subject, rules: Sequence[RuleJobs]) -> list[RightSized]:
    """Rules that will have less than they ask for, if that is wanted."""
    settings, endpoint = subject.workflow.executor_settings, subject.connection.client.endpoint
    if not getattr(settings, "right_size", False):
        return []
    before = used_by_earlier_runs(Path(), endpoint, right_size=True, memory_retries=False)
    by_instance = not is_own_machine(endpoint)
    return list(smaller(rules, before, subject.defaults, is_priced_by_instance=by_instance))


def smaller(
    rules: Iterable[RuleJobs],
    before: UsedBefore,
    defaults: Defaults,
    *,
    is_priced_by_instance: bool,
) -> Iterator[RightSized]:
    """The same, by what was used before."""
    for rule in rules:
        plans = [plan for plan in rule.plans if plan.facts.directive != "group"]
        less = Less(_memory(plans, before), _disk(plans, before, defaults))
        if less.memory is None and less.disk is None:
            continue
        cores, most = max((plan.resources.cores, plan.resources.memory_mib or 0) for plan in plans)
        memory = most if less.memory is None else round(less.memory[0] / MB_PER_MIB)
        had, of_rule = less.disk or (disk_of(None), disk_of(None))
        price = compare(
            Shape(cores, most, of_rule),
            Shape(cores, memory, had),
            (),
            is_priced_by_instance=is_priced_by_instance and most > 0,
        )
        yield RightSized(rule.rule, len(rule.jobs), less, price)


def _memory(plans: Iterable[JobPlan], before: UsedBefore) -> tuple[int, int] | None:
    """Of the jobs whose inputs are not too large, as far as they are there already."""
    found = [
        (before.enough[plan.facts.rule], megabytes(plan.resources.memory_mib))
        for plan in plans
        if less_memory(plan, before) is not None
    ]
    return max(found, default=None)


def _disk(
    plans: Iterable[JobPlan], before: UsedBefore, defaults: Defaults
) -> tuple[int, int] | None:
    """Of the jobs whose inputs are there already and not too large."""
    found = [
        (disk_of(less.instance), disk_of(plan.settings.instance_type))
        for plan in plans
        if (less := less_disk(plan, defaults, before)) is not None
    ]
    return max(found, default=None)
