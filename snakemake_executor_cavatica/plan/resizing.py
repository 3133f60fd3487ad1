"""What a job asks for once it has run out of memory or disk, or where less was enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..read.facts import Defaults, JobFacts
from .given import given_number, given_text
from .instance_types import CATALOG, DEFAULT_DISK_GB, MAX_DISK_GB
from .machine import lies_on_aws
from .plan import JobPlan

_FACTOR = 2
_MB_IN_GIB = 1024**3 / 1_000_000

Job = tuple[str, tuple[tuple[str, str], ...]]
"""Rule and wildcards."""


@dataclass(frozen=True)
class DiskBefore:
    """What tasks of a rule have used of their disks."""

    megabytes: int
    """That were in use at most, by whatever was there."""
    input_bytes: int
    """Of the job with most inputs among them."""
    too_little_gb: int = 0
    """Of the largest disk that was full."""


@dataclass(frozen=True)
class UsedBefore:
    """What earlier runs tell of the memory of jobs, in MB, and of their disks."""

    enough: Mapping[str, int] = field(default_factory=dict)
    """By rule: more than any of its jobs has used."""
    largest_inputs: Mapping[str, int] = field(default_factory=dict)
    """By rule: bytes of those of the job with most among these."""
    needed: Mapping[Job, int] = field(default_factory=dict)
    """Of jobs of rules of which some needed more than they ask for; 0 for those that did not."""
    needed_by_most: Mapping[str, int] = field(default_factory=dict)
    """By rule, where at least half of its jobs needed more: the most that one of them did."""

    disk: Mapping[str, DiskBefore] = field(default_factory=dict)
    """By rule, where that is to be heeded."""

    def needed_by(self, facts: JobFacts) -> int | None:
        """What a job is to begin with; None if that is what its rule asks for."""
        known = self.needed.get((facts.rule, tuple(sorted(facts.wildcards.items()))))
        return (self.needed_by_most.get(facts.rule) if known is None else known) or None


def more_memory(facts: JobFacts, defaults: Defaults) -> Mapping[str, object] | None:
    """The resources that change for twice the memory, or for the most that an instance has.

    None if there is no more, or if nobody knows how much it was.
    """
    asked = given_number(facts, "mem_mb")
    if not asked or _instance_is_named(facts, defaults):
        return None
    gpus = given_number(facts, "gpu") or 0
    most = max(
        (
            int(one.memory_gib * _MB_IN_GIB)
            for one in CATALOG
            if one.cores >= facts.threads and one.gpus >= gpus
        ),
        default=0,
    )
    wanted = min(_FACTOR * asked, most)
    if wanted <= asked:
        return None
    return in_all_units("mem", wanted)


def more_disk(facts: JobFacts, defaults: Defaults) -> Mapping[str, object] | None:
    """The same for the disk, of which an instance has as much as usual if a job asks for less.

    None also where the plugin does not know the types that could have more.
    """
    asked = max(given_number(facts, "disk_mb") or 0, 1000 * DEFAULT_DISK_GB)
    wanted = min(_FACTOR * asked, 1000 * MAX_DISK_GB)
    is_chosen = lies_on_aws(defaults) and not _instance_is_named(facts, defaults)
    return in_all_units("disk", wanted) if is_chosen and wanted > asked else None


def less_memory(plan: JobPlan, before: UsedBefore) -> Mapping[str, object] | None:
    """The resources that change for as much memory as was enough; None if it asks for no more, or
    has more inputs than any job that was measured.
    """
    asked, enough_mb = given_number(plan.facts, "mem_mb"), before.enough.get(plan.facts.rule)
    if not asked or enough_mb is None or enough_mb >= asked:
        return None
    if (plan.input_bytes or 0) > before.largest_inputs.get(plan.facts.rule, 0):
        return None
    return in_all_units("mem", enough_mb)


def has_less_memory(plan: JobPlan, asked: JobPlan) -> bool:
    """Whether a job has less than it would as its rule asks, also where the rule leaves it to the
    platform and an instance was named for it all the same.
    """
    had, of_rule = plan.resources.memory_mib, asked.resources.memory_mib
    if had is None or of_rule is None:
        return plan.settings.instance_by_use is not None
    return had < of_rule


def as_much_memory(
    facts: JobFacts, needed_mb: int | None, defaults: Defaults
) -> Mapping[str, object] | None:
    """The resources that change for as much memory as was needed; None if it asks for that."""
    asked = given_number(facts, "mem_mb")
    if not asked or needed_mb is None or needed_mb <= asked or _instance_is_named(facts, defaults):
        return None
    return in_all_units("mem", needed_mb)


def as_lacked(facts: JobFacts, lacked: Mapping[str, object]) -> Mapping[str, object]:
    """The resources that change for what the job lacked before; those that it asks for do not."""
    return {
        unit: amount
        for name in ("mem", "disk")
        if _megabytes(lacked, name) > (given_number(facts, f"{name}_mb") or 0)
        for unit, amount in in_all_units(name, _megabytes(lacked, name)).items()
    }


def _megabytes(resources: Mapping[str, object], name: str) -> int:
    amount = resources.get(f"{name}_mb")
    return amount if isinstance(amount, int) else 0


def in_all_units(name: str, megabytes: int) -> Mapping[str, object]:
    """A resource as Snakemake tells a size."""
    mebibytes = -(-megabytes * 1_000_000 // 1024**2)
    return {name: f"{megabytes} MB", f"{name}_mb": megabytes, f"{name}_mib": mebibytes}


def _instance_is_named(facts: JobFacts, defaults: Defaults) -> bool:
    """Whether somebody has chosen the instance, so that to ask for more would change nothing."""
    return bool(given_text(facts, "cavatica_instance_type") or defaults.instance_type)
