"""What can be known of planned jobs beyond their plans: network, inputs, instance types."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..plan.instance_types import known_type
from ..plan.plan import Mode
from ..plan.remarks import Remarks
from ..project.paths import LocalPath, ProjectPath
from ..read.files import is_read_directly
from ..read.snakemake_jobs import members_of
from .finding import Finding, remark
from .jobs import RuleJobs
from .subject import Subject

_NETWORK = "allow_network_access"
"""In the settings of a project."""
_ADDRESS = re.compile(r"\b(?:https?|ftp|s3|gs)://[^\s'\"]+")
_ALLOW = (
    "Have an administrator of the project allow network access in its settings, where it is "
    "called network access control"
)


def network(subject: Subject, rules: Iterable[RuleJobs]) -> Iterator[Finding]:
    """Rules that need the network, in a project that keeps its tasks from it.

    Where tasks run without containers, nothing keeps them from it.
    """
    if subject.settings.get(_NETWORK) is not False or not subject.defaults.in_containers:
        return
    for rule in rules:
        yield from _network_of(subject, rule)


def _network_of(subject: Subject, rule: RuleJobs) -> Iterator[Finding]:
    kept = f"and the project {subject.project} keeps its tasks from it"
    for plan in rule.plans[:1]:
        if plan.mode is Mode.SNAKEMAKE and plan.facts.conda:
            named = ", ".join(file.name for file in plan.facts.conda)
            yield Finding(
                f"Rule {rule.rule} needs the network to make its conda environment ({named}), "
                f"{kept}. {_ALLOW}, or run the rule in an image that holds its software "
                "(container:), without --software-deployment-method conda.",
                rule.rule,
            )
        address = _ADDRESS.search(plan.command)
        if address:
            yield remark(
                f"The command of rule {rule.rule} names {address.group()[:80]}, {kept}: if it "
                f"reads from there, it will fail. {_ALLOW}, or let the file be an input.",
                rule.rule,
            )
    for job in rule.jobs[:1]:
        for file in (file for member in members_of(job) for file in member.input):
            if is_read_directly(file):
                yield Finding(
                    f"The jobs of rule {rule.rule} read {file.storage_object.print_query} by its "
                    f"address (retrieve=False), {kept}. {_ALLOW}, or leave out retrieve=False.",
                    rule.rule,
                )


def unreadable(subject: Subject, rules: Iterable[RuleJobs]) -> Iterator[Finding]:
    """Inputs that are there, and that nobody can take from there; a request for each project."""
    seen: set[LocalPath | ProjectPath | str] = set()
    for rule in rules:
        for place in (one.place for plan in rule.plans for one in plan.inputs):
            if place in seen:
                continue
            seen.add(place)
            if isinstance(place, LocalPath):
                yield from _unreadable_here(rule.rule, place)
            elif place.project != subject.project and place.project not in seen:
                seen.add(place.project)
                yield from _not_to_be_copied(subject, rule.rule, place)


def _unreadable_here(rule: str, place: LocalPath) -> Iterator[Finding]:
    needed = os.R_OK | (os.X_OK if Path(place.path).is_dir() else 0)
    if Path(place.path).exists() and not os.access(place.path, needed):
        yield Finding(
            f"The input {place} of rule {rule} is there, but you may not read it, so that it "
            "cannot be uploaded. Change its permissions, or ask its owner to.",
            rule,
        )


def _not_to_be_copied(subject: Subject, rule: str, place: ProjectPath) -> Iterator[Finding]:
    permissions = subject.connection.project(place.project).permissions
    if permissions is not None and not permissions.copy_:
        yield Finding(
            f"Rule {rule} takes {place} from another project, and you have no copy permission in "
            f"{place.project}. Ask one of its administrators for it, or for a copy of the file in "
            f"{subject.project}.",
            rule,
        )


def of_plans(rules: Iterable[RuleJobs]) -> Iterator[Finding]:
    """What the run tells of its rules, too, each once."""
    remarks = Remarks()
    for rule in rules:
        for plan in rule.plans:
            yield from (remark(sentence, rule.rule) for sentence in remarks.on(plan))


def instance_types(rules: Iterable[RuleJobs]) -> Iterator[Finding]:
    """Types that somebody has named, and of which this plugin cannot say what they are."""
    for rule in rules:
        for instance in dict.fromkeys(plan.settings.instance_type for plan in rule.plans):
            if instance is not None:
                yield from _about_type(rule.rule, instance)


def _about_type(rule: str, instance: str) -> Iterator[Finding]:
    if ";" not in instance:
        yield remark(
            f"Rule {rule}: whether the platform takes the instance type {instance!r} without a "
            f"disk is not known; {instance};ebs-gp2;1024 is the documented form.",
            rule,
        )
    if known_type(instance) is None:
        yield remark(
            f"Rule {rule}: this plugin does not know the instance type "
            f"{instance.partition(';')[0]!r}, so that nobody can say here whether it exists, and "
            "is large enough.",
            rule,
        )


def undecided(rules: Iterable[RuleJobs]) -> Iterator[Finding]:
    """Jobs of which nothing can be said before their inputs are there."""
    for rule in rules:
        if rule.later:
            yield remark(
                f"Rule {rule.rule}: how some of its jobs run is decided once their inputs are "
                f"there ({rule.later}).",
                rule.rule,
            )


def checkpoints(subject: Subject) -> Iterator[Finding]:
    """Those that may bring more jobs than there are now."""
    needed = subject.workflow.dag.needrun_jobs()
    names = sorted({job.rule.name for job in needed if job.rule.is_checkpoint})
    if names:
        yield remark(
            f"The jobs that depend on {', '.join(names)} are decided when that is done "
            "(checkpoint), and are not among those that were checked."
        )
