"""Which disk is enough for a job, by what earlier runs have used of theirs. Pure.

The platform gives an instance 1 TB, which costs more than a small instance does, unless somebody
names a type of instance together with its disk. So a type is named here: the cheapest that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..read.facts import GB, Defaults
from .files import disk_for_copies
from .given import given_number, given_text
from .instance_types import DISK_TYPE, InstanceType, cheapest_type, disk_of, known_type
from .machine import lies_on_aws, mebibytes
from .plan import JobPlan
from .resizing import UsedBefore, in_all_units

MARGIN = 1.25
_MORE_MB = 10_000
"""Besides: what is written and removed between two looks at a disk (2.5 GB in 10 s), what a new
version of the image is larger, and what file systems keep for themselves."""
_STEP_GB = 10
LEAST_GB = 50
"""Room for images that no earlier task had. A smaller disk spares less than a cent an hour."""
FAST_GB = 340
"""From 334 GB on, AWS's gp2 always moves 250 MB a second; up to 170 GB it is 128 MB."""
_DEAR = 0.20
"""Dollars an hour. An instance that costs more has a fast disk: it is paid while it waits, and the
rest of a disk costs 0.04."""

_NEARLY = 0.9
_BYTES_IN_MIB = 1024**2


@dataclass(frozen=True)
class LessDisk:
    """What a job asks for then."""

    instance: str
    """`type;disk type;GB`."""
    resources: Mapping[str, object]
    """Those that change, where the rule asks for more by `disk_mb`: its command is told."""


def less_disk(plan: JobPlan, defaults: Defaults, before: UsedBefore) -> LessDisk | None:
    """A smaller disk that is enough; None where none is known.

    A job with more inputs than any that was measured may need more than those did, nobody knows how
    much. Jobs that may share a task need the disk of all of them at once, and of one that cost
    is a small part: both keep what they have. (What jobs have measured in a task that they shared
    counts for their rule all the same: each saw at least what it took itself.)
    """
    facts, known = plan.facts, before.disk.get(plan.facts.rule)
    named = given_text(facts, "cavatica_instance_type") or defaults.instance_type
    inputs = plan.input_bytes
    if known is None or named or plan.packed > 1 or not lies_on_aws(defaults):
        return None
    if inputs is None or inputs > known.input_bytes:
        return None
    instance = _instance(plan, before)
    if instance is None:
        return None
    gigabytes = _gigabytes(known.megabytes, instance)
    if not known.too_little_gb < gigabytes < disk_of(plan.settings.instance_type):
        return None
    return LessDisk(f"{instance.name};{DISK_TYPE};{gigabytes}", _resources(plan, gigabytes))


def on_instance(plan: JobPlan, instance: str) -> JobPlan:
    """The job on an instance that is enough by what earlier runs have used."""
    return replace(plan, settings=replace(plan.settings, instance_by_use=instance))


def _instance(plan: JobPlan, before: UsedBefore) -> InstanceType | None:
    """The one that its GPUs take, or the cheapest. What the platform gives a job that asks for no
    memory is not known, so then it is what its rule has used.
    """
    if plan.settings.instance_type:
        return known_type(plan.settings.instance_type)
    memory_mib, used_mb = plan.resources.memory_mib, before.enough.get(plan.facts.rule)
    if memory_mib is None and used_mb is None:
        return None
    needed = mebibytes(used_mb or 0) if memory_mib is None else memory_mib
    return cheapest_type(cores=plan.resources.cores, memory_mib=needed)


def _gigabytes(used_mb: int, instance: InstanceType) -> int:
    wanted = -(-(used_mb * MARGIN + _MORE_MB) // (1000 * _STEP_GB)) * _STEP_GB
    return max(FAST_GB if instance.price > _DEAR else LEAST_GB, int(wanted))


def _resources(plan: JobPlan, gigabytes: int) -> Mapping[str, object]:
    """`disk_mb` as it has to be said, to which copies of inputs are added."""
    asked, copies_mb = given_number(plan.facts, "disk_mb"), disk_for_copies(plan.inputs)
    if asked is None or asked + copies_mb <= 1000 * gigabytes:
        return {}
    return in_all_units("disk", max(1, 1000 * gigabytes - copies_mb))


def is_nearly_full(plan: JobPlan, used_mib: float | None) -> bool:
    """Whether a job had filled the disk that was chosen for it, and may have failed for that."""
    instance = plan.settings.instance_by_use
    if instance is None or used_mib is None:
        return False
    return used_mib * _BYTES_IN_MIB >= _NEARLY * disk_of(instance) * GB
