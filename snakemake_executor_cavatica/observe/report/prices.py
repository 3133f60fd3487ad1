"""How the price of smaller resources compares with that of the ones asked for. Pure.

Two things may tell: what tasks of the same run have cost that asked for less; or AWS's list prices,
since the platform takes the cheapest instance that fits, and gives it a disk. Where neither does,
nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...plan.instance_types import DEFAULT_DISK_GB, DISK_PRICE, InstanceType, cheapest_type
from ..entries import Attempt

LEAST_AMOUNT = 0.10
"""Prices have two decimals: less than this in all says too little about a second."""


@dataclass(frozen=True)
class Shape:
    """What is asked of an instance."""

    cores: int
    memory_mib: int
    disk_gb: int = DEFAULT_DISK_GB

    def fits(self, other: Shape) -> bool:
        """Whether an instance for this one has room for the other."""
        return (
            self.cores >= other.cores
            and self.memory_mib >= other.memory_mib
            and self.disk_gb >= other.disk_gb
        )


@dataclass(frozen=True)
class Comparison:
    """The price of a second with fewer resources, as a share of the one of now."""

    share: float
    source: str
    """The sentence that says how this is known."""


def compare(
    now: Shape,
    then: Shape,
    attempts: Iterable[Attempt],
    *,
    is_priced_by_instance: bool,
) -> Comparison | None:
    """What the smaller of two shapes costs; None where it cannot be known.

    Args:
        attempts: all of the record.
        is_priced_by_instance: whether the platform is one that bills what its instances cost.
    """
    found = _by_this_run(now, then, list(attempts))
    if found is None and is_priced_by_instance:
        found = _by_list(now, then)
    return found


def _by_this_run(now: Shape, then: Shape, attempts: Sequence[Attempt]) -> Comparison | None:
    rates = _rates(attempts)
    enough = [shape for shape in rates if shape.fits(then) and shape != now and now.fits(shape)]
    if now not in rates or not enough:
        return None
    nearest = min(enough, key=lambda shape: (rates[shape], shape.memory_mib, shape.cores))
    share = rates[nearest] / rates[now]
    asked = f"{nearest.cores} threads and {nearest.memory_mib} MiB"
    if nearest.disk_gb != now.disk_gb:
        asked = f"{nearest.cores} threads, {nearest.memory_mib} MiB and a disk of "
        asked += f"{nearest.disk_gb} GB"
    return Comparison(share, f"as tasks of this run with {asked} have cost a second")


def _rates(attempts: Iterable[Attempt]) -> dict[Shape, float]:
    """What a second has cost, by what was asked for and nothing else that has a price."""
    amounts: dict[Shape, float] = {}
    seconds: dict[Shape, float] = {}
    for one in attempts:
        if one.price is None or not one.run_seconds or one.shared == "pack" or one.instance:
            continue
        if one.spot or one.cores is None or one.memory_mib is None:
            continue  # the price of a spot instance changes by the hour
        shape = Shape(one.cores, one.memory_mib, one.disk_gb or DEFAULT_DISK_GB)
        amounts[shape] = amounts.get(shape, 0.0) + one.price
        seconds[shape] = seconds.get(shape, 0.0) + one.run_seconds
    return {
        shape: amount / seconds[shape]
        for shape, amount in amounts.items()
        if amount >= LEAST_AMOUNT
    }


def _by_list(now: Shape, then: Shape) -> Comparison | None:
    before, after = cheapest(now), cheapest(then)
    if before is None or after is None:
        return None
    source = f"by AWS's list prices of {after.name} and {before.name}, the cheapest that fit"
    if then.disk_gb != now.disk_gb:
        source += ", with their disks"
    return Comparison(_price(after, then) / _price(before, now), source)


def _price(instance: InstanceType, shape: Shape) -> float:
    """Dollars an hour: the disk has a price of its own, which is the same on spot instances."""
    return instance.price + shape.disk_gb * DISK_PRICE


def is_own_machine(endpoint: str) -> bool:
    """Whether this is the embedded platform, which has prices of its own making."""
    host = endpoint.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return host.startswith(("127.", "localhost", "[::1]")) or not host


def cheapest(shape: Shape) -> InstanceType | None:
    """The instance type that the platform would take."""
    return cheapest_type(cores=shape.cores, memory_mib=shape.memory_mib)
