"""What a run will cost, by what jobs of its rules have cost before. Pure.

The sum over jobs that differ by chance is known better than each of them: its range is that of a
prediction from so many earlier jobs, 95 times of 100 if they are a fair sample. Where a rule has
fewer than three, they are taken to spread as those of the other rules do.

A rule without earlier jobs is estimated from its `runtime` and list prices, which is the most that
it may cost, or not at all. Nothing is made up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles, stdev

from ..plan.instance_types import DISK_PRICE, cheapest_type, disk_of, known_type
from ..plan.plan import JobPlan
from .history import Sample

_Z = 1.96
_FEW = 3
_USUAL_SPREAD = 0.5
"""Standard deviation of a job's cost by its mean, where no rule tells."""
_LEAST_SPREAD = 0.05
OF_A_RUN = 0.12
"""How much whole runs differ, by what they are expected to cost: the prices of spot instances, and
how busy machines and storage are, change from one day to the next for all jobs together."""
_HALF_A_CENT = 0.005
"""Tasks tell prices with two decimals."""
_MINUTES = 60
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t for one degree of freedom, two, ..."""


@dataclass(frozen=True)
class Asked:
    """What is to be estimated: the jobs of one rule."""

    rule: str
    app: str
    jobs: int
    plans: Sequence[JobPlan]
    spot: bool | None
    """Whether they will run on spot instances."""


@dataclass(frozen=True)
class RuleEstimate:
    """What the jobs of one rule will cost."""

    rule: str
    jobs: int
    source: str
    """history, runtime, or unknown."""
    expected: float = 0.0
    deviation: float = 0.0
    most: float = 0.0
    """Where only the runtime tells."""
    samples: int = 0
    price: float = 0.0
    price_range: tuple[float, float] = (0.0, 0.0)
    """Of a job: median, and the middle half."""
    seconds: float = 0.0
    seconds_range: tuple[float, float] = (0.0, 0.0)
    remark: str = ""

    @property
    def low(self) -> float:
        """The lower end of its range."""
        return _range(self.expected, [self.deviation])[0]

    @property
    def high(self) -> float:
        """The upper end."""
        return self.most if self.source == "runtime" else _range(self.expected, [self.deviation])[1]


@dataclass(frozen=True)
class Estimate:
    """What a run will cost."""

    rules: tuple[RuleEstimate, ...]
    currency: str
    expected: float
    low: float
    high: float
    most: float
    """What rules may cost beyond that, by their runtime alone."""
    spot_share: float | None
    """The price of a second on a spot instance by that of one on demand; None if unknown."""

    @property
    def unknown(self) -> list[str]:
        """Rules of which nothing is known."""
        return [one.rule for one in self.rules if one.source == "unknown"]

    @property
    def seconds(self) -> float:
        """That instances will run, as far as earlier jobs tell."""
        return sum(one.seconds * one.jobs for one in self.rules if one.source == "history")


def estimate(
    asked: Sequence[Asked], samples: Mapping[str, Sequence[Sample]], currency: str
) -> Estimate:
    """What all rules will cost together."""
    share = spot_share(samples.values())
    spread = _spread_of_all(samples.values())
    rules = tuple(_of_rule(one, samples.get(one.app, ()), spread, share) for one in asked)
    known = [one for one in rules if one.source == "history"]
    expected = sum(one.expected for one in known)
    low, high = _range(expected, [one.deviation for one in known])
    most = sum(one.most for one in rules)
    return Estimate(rules, currency, expected, low, high, most, share)


def _range(expected: float, by_chance: Iterable[float]) -> tuple[float, float]:
    """Around an amount that is never negative."""
    deviation = math.hypot(*by_chance, OF_A_RUN * expected)
    if expected <= 0:
        return 0.0, _Z * deviation
    width = math.exp(_Z * math.sqrt(math.log1p((deviation / expected) ** 2)))
    return expected / width, expected * width


def _of_rule(
    asked: Asked, samples: Sequence[Sample], spread: float, share: float | None
) -> RuleEstimate:
    if not samples:
        return _by_runtime(asked)
    same = [one for one in samples if one.spot == asked.spot] if asked.spot is not None else []
    factor, remark = 1.0, ""
    if not same and asked.spot is not None:
        kind = "spot instances" if asked.spot else "instances on demand"
        if share:
            factor = share if asked.spot else 1 / share
            remark = f"converted to {kind}"
        else:
            remark = f"by jobs that were not on {kind}"
    used = same or list(samples)
    number = sum(one.jobs for one in used)
    mean = sum(one.cost for one in used) / number * factor
    alone = [one.cost * factor for one in used if one.jobs == 1]
    deviation = _deviation(asked.jobs, number, mean, alone, spread)
    prices = [one.cost * factor / one.jobs for one in used]
    seconds = [one.seconds / one.jobs for one in used]
    return RuleEstimate(
        asked.rule,
        asked.jobs,
        "history",
        expected=mean * asked.jobs,
        deviation=deviation,
        samples=number,
        price=median(prices),
        price_range=_middle_half(prices),
        seconds=median(seconds),
        seconds_range=_middle_half(seconds),
        remark=remark,
    )


def _deviation(jobs: int, number: int, mean: float, alone: Sequence[float], spread: float) -> float:
    """Of the sum of so many jobs from what it is expected to be."""
    one = max(stdev(alone) if len(alone) >= _FEW else spread * mean, _LEAST_SPREAD * mean)
    degrees = (len(alone) if len(alone) >= _FEW else _FEW) - 1
    student = _T[degrees - 1] if degrees <= len(_T) else _Z
    by_chance = one * math.sqrt(jobs + jobs**2 / number) * student / _Z
    # Prices that are nearly equal are all rounded in the same direction.
    rounded = _HALF_A_CENT / math.sqrt(3) * (jobs if one < _HALF_A_CENT else math.sqrt(jobs))
    return math.hypot(by_chance, rounded)


def _spread_of_all(samples: Iterable[Sequence[Sample]]) -> float:
    """How much the jobs of a rule differ, by its mean: of the rules that have enough of them."""
    known = []
    for some in samples:
        alone = [one.cost for one in some if one.jobs == 1]
        if len(alone) >= _FEW and fmean(alone) > 0:
            known.append(stdev(alone) / fmean(alone))
    return max(median(known), _LEAST_SPREAD) if known else _USUAL_SPREAD


def _middle_half(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method="inclusive")
    return first, third


def _by_runtime(asked: Asked) -> RuleEstimate:
    """At most so long, on the instance that the platform would take, at its list price."""
    most = 0.0
    for plan in asked.plans:
        minutes, resources = plan.resources.runtime_minutes, plan.resources
        named = plan.settings.instance_type
        instance = (
            known_type(named)
            if named
            else cheapest_type(cores=resources.cores, memory_mib=resources.memory_mib or 0)
        )
        if not minutes or instance is None:
            return RuleEstimate(asked.rule, asked.jobs, "unknown")
        price = instance.price + disk_of(named) * DISK_PRICE
        most += minutes / _MINUTES * price / plan.packed
    if not asked.plans:
        return RuleEstimate(asked.rule, asked.jobs, "unknown")
    most *= asked.jobs / len(asked.plans)
    remark = "list price on demand" if asked.spot is not False else ""
    return RuleEstimate(asked.rule, asked.jobs, "runtime", most=most, remark=remark)


def spot_share(samples: Iterable[Sequence[Sample]]) -> float | None:
    """A second on spot by a second on demand, over the rules that have run on both."""
    shares = []
    for some in samples:
        rates = [_rate([one for one in some if one.spot is spot]) for spot in (True, False)]
        if rates[0] and rates[1]:
            shares.append(rates[0] / rates[1])
    return median(shares) if shares else None


def _rate(samples: Sequence[Sample]) -> float | None:
    cost = sum(one.cost for one in samples)
    seconds = sum(one.seconds for one in samples)
    # Less says too little about a second: prices are rounded to cents.
    return cost / seconds if seconds and cost >= 10 * _HALF_A_CENT else None
