"""What a run takes besides instances: requests of the platform's API, and disk on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ..plan.plan import JobPlan
from ..project.connection import Connection
from ..project.paths import LocalPath, Place
from ..read.facts import GB
from ..translate.app import app_name
from ..translate.batch import MOST_CHILDREN
from ..translate.parcel import LARGEST_PARCEL
from ..translate.small_outputs import gathers
from .finding import Finding, remark
from .history import Sample
from .jobs import RuleJobs

_A_TASK = 2
"""Requests: one creates it, one starts it."""
_LOOKING = 0.2
"""Requests for looking at a job's task, a hundred of which share one (measured, see benchmarks)."""
_UPLOAD, _DOWNLOAD = 3, 1
"""Requests for a small file."""
_FOR_A_RUN = 15
_WINDOW = 300
"""Seconds of the rate limit."""
_INSTANCES = 80
"""That a user may have at a time (documented; more for some)."""
_LONG = 600
"""Seconds from which on it is worth to say what to do."""
_MANY = 50
"""Jobs of one rule for which batches or packs are worth it."""


@dataclass(frozen=True)
class Effort:
    """Requests, and the least time that the rate limit makes of them."""

    requests: int
    seconds: float
    """0 where there is no limit."""
    tasks: Mapping[str, int]
    """By rule."""


def effort(connection: Connection, rules: Sequence[RuleJobs]) -> Effort:
    """What all jobs take together, by those that were planned."""
    tasks = {rule.rule: _tasks(rule) for rule in rules}
    downloads = sum(_downloads(plan) * _share(rule) for rule in rules for plan in rule.plans)
    uploads = len({place for rule in rules for place in _uploaded(rule)})
    parcels = sum(_parcels(rule) for rule in rules)
    jobs = sum(len(rule.jobs) for rule in rules)
    requests = round(
        _FOR_A_RUN
        + _A_TASK * sum(tasks.values())
        + _A_TASK * len(rules)  # each has an app
        + _LOOKING * jobs
        + _UPLOAD * (uploads + parcels)
        + _DOWNLOAD * downloads
    )
    limit = None if connection.has_no_rate_limit else connection.client.budget.limit
    return Effort(requests, requests / limit * _WINDOW if limit else 0.0, tasks)


def _share(rule: RuleJobs) -> float:
    """What one planned job stands for."""
    return len(rule.jobs) / len(rule.plans) if rule.plans else 0.0


def _tasks(rule: RuleJobs) -> int:
    if not rule.plans:
        return len(rule.jobs)
    plan = rule.plans[0]
    together = MOST_CHILDREN if plan.batched else plan.packed
    return -(-len(rule.jobs) // together)


def _downloads(plan: JobPlan) -> float:
    """For outputs that come to this machine; as most are small, those of a task come together."""
    here = [one for one in plan.outputs if isinstance(one.place, LocalPath)]
    if gathers(plan, packed=plan.packed > 1):
        return 1 / plan.packed + sum(one.folder for one in here)
    return len(here)


def _uploaded(rule: RuleJobs) -> Iterator[Place]:
    """What is uploaded by itself."""
    for plan in rule.plans:
        for one in plan.inputs:
            is_alone = isinstance(one.place, LocalPath) and one not in plan.small_inputs
            if is_alone and Path(one.place.path).exists():
                yield one.place


def _parcels(rule: RuleJobs) -> int:
    """How many files the small inputs of its jobs travel in, at least."""
    sizes = {one.place: one.size for plan in rule.plans for one in plan.small_inputs}
    return -(-round(sum(sizes.values()) * _share(rule)) // LARGEST_PARCEL)


def advice(found: Effort, rules: Sequence[RuleJobs], instance_seconds: float) -> Iterator[Finding]:
    """What to do where the rate limit would take longer than the work itself.

    Args:
        instance_seconds: that instances will run, as far as that is known.
    """
    if found.seconds < _LONG or found.seconds < instance_seconds / _INSTANCES:
        return
    many = [rule for rule in rules if _MANY <= len(rule.jobs) <= found.tasks[rule.rule]]
    least = f"The run takes some {found.requests} requests, and so at least "
    least += f"{found.seconds / 60:.0f} minutes by the platform's rate limit"
    if many:
        names = ", ".join(rule.rule for rule in many)
        yield remark(
            f"{least}. Let jobs share tasks: --cavatica-batch auto, or --cavatica-pack 50 for "
            f"short ones; many jobs have {names}."
        )
    else:
        yield remark(f"{least}. Where jobs leave many files, directory() makes one output of them.")


# ------------------------------------------------------------------------------- disk here


def disk(
    rules: Iterable[RuleJobs], samples: Mapping[str, Sequence[Sample]], free: int | None = None
) -> Iterator[Finding]:
    """Whether there is room on this machine for the outputs that come here, by earlier ones."""
    expected, known = 0.0, 0
    for rule in rules:
        sizes = [one.bytes_out for one in samples.get(app_name(rule.rule), ()) if one.bytes_out]
        if sizes and any(isinstance(o.place, LocalPath) for p in rule.plans for o in p.outputs):
            expected += median(sizes) * len(rule.jobs)
            known += 1
    available = shutil.disk_usage(".").free if free is None else free
    if known and expected > available:
        yield Finding(
            f"The outputs that come to this machine will be about {expected / GB:.1f} GB, by those "
            f"of earlier jobs, and {available / GB:.1f} GB are free in {Path.cwd()}. Make room, or "
            "keep the files on the platform (--default-storage-provider cavatica)."
        )


def inputs_of(plans: Iterable[JobPlan]) -> tuple[int, int]:
    """Bytes that the largest job gets as copies, and as links."""

    def most(method: str) -> int:
        sums = (sum(one.size for one in p.inputs if one.method == method) for p in plans)
        return max(sums, default=0)

    plans = list(plans)
    return most("copy"), most("link")
