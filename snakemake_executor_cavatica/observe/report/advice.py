"""What rules could ask for instead, by what their jobs have used. Pure.

Memory: the most that any job of the rule has used, and a quarter more, rounded up. Threads: the
cores that were busy on average in the busiest job, and a fifth more, to the nearest number. Both
only where at least three jobs were measured, and where it is at least a fifth less than what is
asked; and memory not below what a job ran out of.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ...plan.instance_types import DEFAULT_DISK_GB
from ..entries import Attempt, Status
from .figures import cores_used, known, peak_memory
from .prices import Comparison, Shape, cheapest, compare

MEMORY_MARGIN, THREADS_MARGIN = 1.25, 1.2
LEAST_JOBS = 3
MOST_SHARE = 0.8
"""Of what is asked: what is nearer to it is left as it is."""
LEAST_MEMORY_MB = 200
_STEPS = ((2_000, 100), (10_000, 500), (math.inf, 1_000))
"""Up to so many MB, memory is rounded up to so many."""
_MB_PER_MIB = 1.048576
_OUT_OF_MEMORY = "out_of_memory"
_PLAIN_NAME = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][a-z0-9_]*", re.I)


@dataclass(frozen=True)
class Change:
    """One resource of a rule: what is asked now, and what would do."""

    resource: str
    """`mem_mb` or `threads`."""
    now: tuple[int, int]
    """The least and the most that jobs ask for."""
    used: float
    """The most that a job has used: MB, or cores on average."""
    then: int
    jobs: int
    """How many were measured."""
    ran_out: int = 0
    """Attempts that ran out of memory with less."""


@dataclass(frozen=True)
class Advice:
    """For one rule."""

    rule: str
    changes: tuple[Change, ...]
    price: Comparison | None = None
    """Of all changes together, if it can be known."""
    same_instance: str = ""
    """The type that the platform would take before and after, so that nothing would change."""


def advise(attempts: Iterable[Attempt], *, is_priced_by_instance: bool) -> list[Advice]:
    """Rules that ask for much more than they use, in the order in which they began; also those
    for which asking for less would change nothing.

    Args:
        is_priced_by_instance: whether the platform is one that bills what its instances cost.
    """
    everything = list(attempts)
    by_rule: dict[str, list[Attempt]] = {}
    for one in everything:
        if one.kind == "job":  # a group has no resources of its own to set
            by_rule.setdefault(one.rule, []).append(one)
    found = [
        _for_rule(rule, of_rule, everything, is_priced_by_instance)
        for rule, of_rule in by_rule.items()
    ]
    return [one for one in found if one is not None]


def _for_rule(
    rule: str,
    attempts: Sequence[Attempt],
    everything: Sequence[Attempt],
    is_priced_by_instance: bool,
) -> Advice | None:
    changes = [one for one in (_memory(attempts), _threads(attempts)) if one is not None]
    if not changes:
        return None
    now, then = _shapes(attempts, changes)
    is_alone = not any(one.instance or one.shared == "pack" for one in attempts)
    if now is None or then is None or not is_alone:
        return Advice(rule, tuple(changes))
    before = cheapest(now) if is_priced_by_instance else None
    if before is not None and before == cheapest(then):
        return Advice(rule, tuple(changes), same_instance=before.name)
    price = compare(now, then, everything, is_priced_by_instance=is_priced_by_instance)
    return Advice(rule, tuple(changes), price)


# ------------------------------------------------------------------------------- one resource


def _memory(attempts: Sequence[Attempt]) -> Change | None:
    measured = [one for one in attempts if peak_memory(one) is not None and one.memory_mib]
    if len(measured) < LEAST_JOBS:
        return None
    asked = [round((one.memory_mib or 0) * _MB_PER_MIB) for one in measured]
    used = max(known(peak_memory, measured)) * _MB_PER_MIB
    then = max(LEAST_MEMORY_MB, rounded_up(used * MEMORY_MARGIN))
    ran_out = [
        round((one.memory_mib or 0) * _MB_PER_MIB)
        for one in attempts
        if one.status is Status.FAILED and one.reason == _OUT_OF_MEMORY
    ]
    if then > MOST_SHARE * median(asked) or then <= max(ran_out, default=0):
        return None
    return Change(
        "mem_mb", (min(asked), max(asked)), used, then, jobs=len(measured), ran_out=len(ran_out)
    )


def rounded_up(megabytes: float) -> int:
    """To a number that people would write."""
    step = next(step for most, step in _STEPS if megabytes <= most)
    return math.ceil(megabytes / step) * step


def _threads(attempts: Sequence[Attempt]) -> Change | None:
    measured = [one for one in attempts if cores_used(one) is not None and one.cores]
    if len(measured) < LEAST_JOBS:
        return None
    asked = [one.cores or 1 for one in measured]
    used = max(known(cores_used, measured))
    then = max(1, round(used * THREADS_MARGIN))
    if then > MOST_SHARE * median(asked):
        return None
    return Change("threads", (min(asked), max(asked)), used, then, jobs=len(measured))


def _shapes(
    attempts: Sequence[Attempt], changes: Iterable[Change]
) -> tuple[Shape | None, Shape | None]:
    """What the rule asks for now, if all of its jobs ask for the same, and then."""
    asked = {
        (one.cores, one.memory_mib, one.disk_gb or DEFAULT_DISK_GB)
        for one in attempts
        if one.status is Status.DONE
    }
    if len(asked) != 1:
        return None, None
    cores, memory_mib, disk_gb = asked.pop()
    if cores is None or memory_mib is None:
        return None, None
    then = {change.resource: change.then for change in changes}
    memory_then = round(then["mem_mb"] / _MB_PER_MIB) if "mem_mb" in then else memory_mib
    return (
        Shape(cores, memory_mib, disk_gb),
        Shape(then.get("threads", cores), memory_then, disk_gb),
    )


# ------------------------------------------------------------------------ ready to be pasted


def _values(advice: Iterable[Advice], resource: str) -> dict[str, int]:
    return {
        one.rule: change.then
        for one in advice
        for change in one.changes
        if not one.same_instance and change.resource == resource
    }


def as_options(advice: Sequence[Advice]) -> str:
    """Options of a command."""
    memory, threads = _values(advice, "mem_mb"), _values(advice, "threads")
    parts = []
    if memory:
        each = (shlex.quote(f"{rule}:mem_mb={value}") for rule, value in memory.items())
        parts.append(f"--set-resources {' '.join(each)}")
    if threads:
        each = (shlex.quote(f"{rule}={value}") for rule, value in threads.items())
        parts.append(f"--set-threads {' '.join(each)}")
    return " ".join(parts)


def as_profile(advice: Sequence[Advice]) -> str:
    """Lines of a profile's `config.yaml`."""
    memory, threads = _values(advice, "mem_mb"), _values(advice, "threads")
    return "".join([*_section("set-resources", memory), *_section("set-threads", threads)])


def _section(name: str, values: Mapping[str, int]) -> list[str]:
    if not values:
        return []
    nested = name == "set-resources"
    lines = [
        f"  {_key(rule)}:\n    mem_mb: {value}\n" if nested else f"  {_key(rule)}: {value}\n"
        for rule, value in values.items()
    ]
    return [f"{name}:\n", *lines]


def _key(rule: str) -> str:
    """A rule's name in YAML: JSON is YAML too."""
    return rule if _PLAIN_NAME.fullmatch(rule) else json.dumps(rule)
