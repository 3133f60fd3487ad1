"""All that is checked: in full, and what costs little at the start of every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api import CavaticaError
from ..observe.words import money
from ..plan.plan import JobPlan
from ..read.source_archive import refuse_secret
from ..translate.app import app_name
from . import apps, images, rules
from .account import paying
from .effort import Effort, advice, disk, effort
from .estimate import Asked, Estimate, estimate
from .finding import Finding, NotChecked, in_order, noted, remark
from .history import Historian, History, by_app
from .jobs import SOME, EarlyPlanner, RuleJobs, jobs_of_tasks
from .right_sizing import RightSized, right_sized
from .subject import Subject

Look = Callable[[str], images.Found]


@dataclass(frozen=True)
class Report:
    """What a full check has found."""

    rules: Sequence[RuleJobs]
    estimate: Estimate
    effort: Effort
    history: History
    images: dict[str, images.Found]
    right_sized: Sequence[RightSized]
    findings: Sequence[Finding]


def check_quickly(subject: Subject) -> list[Finding]:
    """What a run would refuse, as far as some jobs of each rule and a request or two tell it."""
    jobs = jobs_of_tasks(subject.workflow)
    planner = EarlyPlanner(subject.workflow, subject.reader, subject.defaults)
    findings = planner.plan(jobs, most=SOME)
    _add(findings, lambda: rules.network(subject, jobs))
    _add(findings, lambda: rules.unreadable(subject, jobs))
    _add(findings, lambda: paying(subject.connection, subject.project))
    return [one for one in in_order(findings) if one.is_problem]


def check_all(subject: Subject, look: Look = images.look_up) -> Report:
    """Everything that can be known; only read from the platform, and asked of registries."""
    jobs = jobs_of_tasks(subject.workflow)
    planner = EarlyPlanner(subject.workflow, subject.reader, subject.defaults)
    findings = planner.plan(jobs)
    of_images = images.images_of(jobs)
    found = images.look_up_all(of_images, look)
    history = _history(subject, findings)
    samples = by_app(history.samples)
    expected = estimate(_asked(subject, jobs), samples, history.currency)
    needed = effort(subject.connection, jobs)
    for part in (
        lambda: images.about_images(of_images, found),
        lambda: rules.network(subject, jobs),
        lambda: rules.unreadable(subject, jobs),
        lambda: rules.of_plans(jobs),
        lambda: rules.instance_types(jobs),
        lambda: rules.undecided(jobs),
        lambda: rules.checkpoints(subject),
        lambda: disk(jobs, samples),
        lambda: advice(needed, jobs, expected.seconds),
        lambda: _about_limit(subject, expected),
        lambda: _about_sources(subject),
    ):
        _add(findings, part)
    if subject.is_project_known:
        _add(findings, lambda: paying(subject.connection, subject.project))
        _add(findings, lambda: apps.taken(subject.connection, subject.project, jobs, history.apps))
    less = right_sized(subject, jobs)
    return Report(jobs, expected, needed, history, found, less, in_order(findings))


def _add(findings: list[Finding], part: Callable[[], Iterable[Finding]]) -> None:
    """What a part has found; that it finds nothing out keeps nobody from anything."""
    try:
        with noted(findings):
            findings.extend(part())
    except NotChecked as error:
        findings.append(remark(f"Not everything could be checked: {error}"))


def _history(subject: Subject, findings: list[Finding]) -> History:
    historian = Historian()
    historian.read_records(Path(), subject.connection)
    if subject.is_project_known:
        try:
            historian.ask(subject.connection.client, subject.project)
        except CavaticaError as error:
            findings.append(remark(f"What earlier tasks have cost is not known: {error}"))
    return historian.history


def _asked(subject: Subject, jobs: Iterable[RuleJobs]) -> list[Asked]:
    given = subject.settings.get("use_interruptible_instances")
    usual = given if isinstance(given, bool) else None
    return [
        Asked(
            rule.rule,
            app_name(rule.rule),
            len(rule.jobs),
            rule.plans,
            spot=_is_spot(rule.plans, usual),
        )
        for rule in jobs
    ]


def _is_spot(plans: Sequence[JobPlan], usual: bool | None) -> bool | None:
    if not plans or plans[0].settings.interruptible is None:
        return usual
    return plans[0].settings.interruptible


def _about_limit(subject: Subject, expected: Estimate) -> Iterator[Finding]:
    limit = getattr(subject.workflow.executor_settings, "max_cost", None)
    if limit is not None and expected.expected > limit:
        yield remark(
            f"The run will cost about {money(expected.expected, expected.currency)}, by earlier "
            f"jobs, and --cavatica-max-cost is {money(limit)}: it will end before all is done."
        )


def _about_sources(subject: Subject) -> Iterator[Finding]:
    findings: list[Finding] = []
    for path in subject.sources.files if subject.sources is not None else ():
        with noted(findings):
            refuse_secret(path, path.read_bytes(), subject.connection.token)
    yield from findings
