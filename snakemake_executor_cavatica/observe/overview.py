"""How the jobs of a run stand, rule by rule. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .costs import Costs, Spent
from .entries import Attempt, Status
from .jobs import last_attempts

_GOES_ON = (Status.RUNNING, Status.QUEUED, Status.SUBMITTED)


@dataclass(frozen=True)
class RuleOverview:
    """The jobs of one rule, each by its last attempt."""

    rule: str
    planned: int | None
    """None where the record does not tell."""
    states: Mapping[Status, int]
    attempts: int

    @property
    def done(self) -> int:
        """Jobs whose outputs are in place."""
        return self.states.get(Status.DONE, 0) + self.states.get(Status.REUSED, 0)


def by_rule(attempts: Sequence[Attempt], planned: Mapping[str, int]) -> list[RuleOverview]:
    """Each rule that was planned or tried, in the order in which they were tried first."""
    states: defaultdict[str, Counter[Status]] = defaultdict(Counter)
    for one in last_attempts(attempts):
        states[one.rule][one.status] += 1
    number = Counter(one.rule for one in attempts if one.kind != "environment")
    rules = dict.fromkeys([*number, *planned])
    return [RuleOverview(rule, planned.get(rule), states[rule], number[rule]) for rule in rules]


def total(rules: Iterable[RuleOverview]) -> RuleOverview:
    """All of them together."""
    rules = list(rules)
    planned = [one.planned for one in rules if one.planned is not None]
    states: Counter[Status] = Counter()
    for one in rules:
        states.update(one.states)
    attempts = sum(one.attempts for one in rules)
    return RuleOverview("all", sum(planned) if planned else None, states, attempts)


def under_way(attempts: Iterable[Attempt]) -> list[Attempt]:
    """What runs or waits: what runs first, and of that what has begun first."""
    live = [one for one in attempts if one.status in _GOES_ON]
    return sorted(live, key=lambda one: (_GOES_ON.index(one.status), one.started or 0.0))


def failed(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The last attempts of jobs that have failed."""
    return [one for one in last_attempts(attempts) if one.status is Status.FAILED]


# --------------------------------------------------------------------------------------- costs


@dataclass(frozen=True)
class RuleCost:
    """What the attempts at the jobs of one rule, or of all, have cost."""

    rule: str
    attempts: int
    spent: Spent
    spot: float
    """Of the known amount, what was on spot instances."""
    lost: float
    """Of the known amount, what went into attempts without a result."""
    without_price: int
    """Attempts whose tasks ran to their end, and have no price."""


def cost_by_rule(attempts: Sequence[Attempt], now: float) -> list[RuleCost]:
    """The most expensive rule first; all attempts count, whatever became of them."""
    costs = Costs()
    for one in attempts:
        costs.note(one)
    grouped: defaultdict[str, list[Attempt]] = defaultdict(list)
    for one in attempts:
        grouped[one.rule].append(one)
    found = [_cost(rule, some, costs.spent(now, rule)) for rule, some in grouped.items()]
    return sorted(found, key=lambda one: (-one.spent.total, one.rule))


def cost_of_all(attempts: Sequence[Attempt], now: float) -> RuleCost:
    """The same for all rules together."""
    costs = Costs()
    for one in attempts:
        costs.note(one)
    return _cost("all", attempts, costs.spent(now))


def _cost(rule: str, attempts: Sequence[Attempt], spent: Spent) -> RuleCost:
    known = [(one, one.price) for one in attempts if one.price is not None]
    return RuleCost(
        rule,
        len(attempts),
        spent,
        spot=sum(price for one, price in known if one.spot),
        lost=sum(price for one, price in known if one.status is not Status.DONE),
        without_price=sum(
            one.price is None and one.status.is_over and bool(one.run_seconds) for one in attempts
        ),
    )
