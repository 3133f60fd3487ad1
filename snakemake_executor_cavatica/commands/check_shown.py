"""How a check is shown: a table of the rules, what they will cost, and what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from ..check.checks import Report
from ..check.effort import inputs_of
from ..check.estimate import RuleEstimate
from ..check.finding import Finding, without_repetition
from ..check.images import Found
from ..check.jobs import RuleJobs
from ..finish.foreign_text import one_line
from ..observe.words import duration, money, several, size
from ..plan.instance_types import cheapest_type
from ..plan.plan import JobPlan
from ..read.facts import GB
from .show import show, show_json, table

if TYPE_CHECKING:
    from .check import Checked

_COLUMNS = ("RULE", "JOBS", "MODE", "IMAGE", "THREADS", "MEMORY", "INSTANCE", "INPUTS", "ESTIMATE")
_NUMBERS = "JOBS THREADS MEMORY"
_DIGEST = 19
"""Characters of a digest that are shown: `sha256:` and twelve."""


def show_check(checked: Checked, *, as_json: bool) -> None:
    """Print it, for people or for programs."""
    if as_json:
        show_json(_document(checked))
        return
    parts: list[RenderableType] = [*map(Text, _head(checked))]
    if checked.report is not None and checked.report.rules:
        parts += [Text(), _table(checked.report), Text(), *map(Text, _below(checked.report))]
    show(*parts, *map(Text, _findings(checked)))


def _head(checked: Checked) -> Iterator[str]:
    """Where the run would work, as whom, and what it would send along."""
    connection = checked.connection
    if connection is not None:
        whose = f"token of {checked.user}" if checked.user else "token"
        yield (
            f"Project {checked.project or 'unknown'} on {connection.client.endpoint}; {whose} from "
            f"{connection.source} (the platform does not tell until when it is valid)."
        )
    if checked.sources is not None:
        megabytes = checked.sources.size / 1e6
        yield f"Sent along: {several(len(checked.sources.files), 'file')}, {megabytes:.1f} MB."
    if checked.report is not None and not checked.report.rules:
        yield "There is nothing to do: no job would run as a task."


def _table(report: Report) -> RenderableType:
    estimates = {one.rule: one for one in report.estimate.rules}
    rows = [
        (*_cells(rule), _cost(estimates[rule.rule], report.estimate.currency))
        for rule in report.rules
    ]
    return table(_COLUMNS, rows, numbers=_NUMBERS)


def _cells(rule: RuleJobs) -> tuple[object, ...]:
    plans = rule.plans
    copied, linked = inputs_of(plans)
    inputs = f"{size(linked)} linked" if linked else f"{size(copied)} copied" if copied else "-"
    return (
        rule.rule,
        len(rule.jobs),
        _each(plan.mode for plan in plans),
        _each(_image(plan) for plan in plans),
        _between([plan.resources.cores for plan in plans]),
        _between([plan.resources.memory_mib or 0 for plan in plans], " MiB"),
        _each(_instance(plan) for plan in plans),
        inputs,
    )


def _each(values: Iterable[str]) -> str:
    """All values that there are; they are few as a rule."""
    return ", ".join(dict.fromkeys(values)) or "?"


def _image(plan: JobPlan) -> str:
    return plan.image if plan.in_container else "(of this machine)"


def _between(values: Sequence[int], unit: str = "") -> str:
    if not values or not max(values):
        return "?"
    low, high = min(values), max(values)
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _instance(plan: JobPlan) -> str:
    """The type; in brackets the one that the platform will choose, as far as known."""
    if plan.settings.instance_type:
        return plan.settings.instance_type
    asked = plan.resources
    chosen = cheapest_type(cores=asked.cores, memory_mib=asked.memory_mib or 0)
    return f"({chosen.name})" if chosen is not None and plan.in_container else "(any)"


def _cost(one: RuleEstimate, currency: str) -> str:
    if one.source == "unknown":
        return "unknown"
    if one.source == "runtime":
        return f"at most {money(one.most, 'USD')} by runtime"
    said = f" ({one.remark})" if one.remark else ""
    return f"{money(one.low)} to {money(one.high, currency)} by {one.samples} earlier{said}"


# ------------------------------------------------------------------------------ below the table


def _below(report: Report) -> Iterator[str]:
    yield from _modes(report.rules)
    yield from _digests(report.images)
    yield from _estimate(report)
    yield from _requests(report)
    yield f"Free disk here: {shutil.disk_usage('.').free / GB:.0f} GB."


def _modes(rules: Sequence[RuleJobs]) -> Iterator[str]:
    """Why rules run as they do."""
    reasons: dict[str, list[str]] = {}
    for rule in rules:
        for plan in rule.plans[:1]:
            reasons.setdefault(f"{plan.mode}, because {plan.reason}", []).append(rule.rule)
    for reason, names in reasons.items():
        yield f"Mode of {', '.join(names)}: {reason}."


def _digests(found: dict[str, Found]) -> Iterator[str]:
    for image, one in found.items():
        if one.digest:
            yield f"Image {image}: {one.digest[:_DIGEST]}."


def _estimate(report: Report) -> Iterator[str]:
    expected = report.estimate
    known = [one for one in expected.rules if one.source == "history"]
    yield from (_job(one, expected.currency) for one in known)
    parts = []
    if known:
        parts.append(
            f"{money(expected.low)} to {money(expected.high, expected.currency)}, about "
            f"{money(expected.expected)}, by earlier jobs"
        )
    if expected.most:
        parts.append(f"at most {money(expected.most, 'USD')} for rules of which only runtime tells")
    if expected.unknown:
        parts.append(f"unknown for {', '.join(expected.unknown)}")
    yield f"Estimate: {'; '.join(parts)}."
    looked = f"{several(report.history.tasks, 'task')} of the project"
    yield f"Looked at for it: {looked}, {several(report.history.records, 'record')} of runs here."
    if report.right_sized:
        yield f"Right-sizing: {'; '.join(map(str, report.right_sized))}."
    if known:
        yield f"Spot instances: {_spot(expected.spot_share)}."


def _job(one: RuleEstimate, currency: str) -> str:
    """What a job has taken before: the median, and the middle half."""
    seconds, prices = one.seconds_range, one.price_range
    return (
        f"A job of {one.rule} took {duration(one.seconds)} ({duration(seconds[0])} to "
        f"{duration(seconds[1])}) and {money(one.price, currency)} ({money(prices[0])} to "
        f"{money(prices[1])}) in the median of {one.samples}."
    )


def _spot(share: float | None) -> str:
    if share is None:
        return "what they save is not known, since no rule has run both on them and on demand"
    return f"a second costs {100 * share:.0f} % of one on demand, by rules that have run on both"


def _requests(report: Report) -> Iterator[str]:
    tasks = sum(report.effort.tasks.values())
    least = report.effort.seconds
    limit = f", at least {duration(least)} by the rate limit" if least else ""
    yield (
        f"It takes {several(tasks, 'task')} and about "
        f"{several(report.effort.requests, 'request')}{limit}."
    )


def _findings(checked: Checked) -> Iterator[str]:
    remarks = [one for one in checked.findings if not one.is_problem]
    problems = [one for one in checked.findings if one.is_problem]
    for name, some in (("Remarks", remarks), ("Problems", problems)):
        if some:
            yield ""
            yield f"{name}:"
            yield from (f"  * {one_line(sentence)}" for sentence in without_repetition(some))
    yield ""
    yield f"{several(len(problems), 'problem')}." if problems else "No problem was found."


# ---------------------------------------------------------------------------------- for programs


def _document(checked: Checked) -> dict[str, Any]:
    connection = checked.connection
    return {
        "endpoint": None if connection is None else connection.client.endpoint,
        "project": checked.project or None,
        "user": checked.user or None,
        "problems": checked.problems,
        "findings": [_finding(one) for one in checked.findings],
        **(_of_report(checked.report) if checked.report is not None else {}),
        "requests_of_this_check": 0
        if connection is None
        else connection.client.transport.requests_sent + connection.watcher.transport.requests_sent,
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {"grade": str(one.grade), "rule": one.rule or None, "text": one.text, "jobs": one.jobs}


def _of_report(report: Report) -> dict[str, Any]:
    found = report.estimate
    estimates = {one.rule: one for one in found.rules}
    return {
        "rules": [_rule(rule, estimates[rule.rule]) for rule in report.rules],
        "estimate": {
            "currency": found.currency,
            "expected": round(found.expected, 6),
            "low": round(found.low, 6),
            "high": round(found.high, 6),
            "most_by_runtime": round(found.most, 6),
            "unknown": found.unknown,
            "spot_share": found.spot_share,
        },
        "right_sizing": [
            {
                "rule": one.rule,
                **_pair("memory_mb", "of_rule_mb", one.less.memory),
                **_pair("disk_gb", "disk_of_rule_gb", one.less.disk),
                "share_of_price": None if one.price is None else round(one.price.share, 3),
            }
            for one in report.right_sized
        ],
        "requests": report.effort.requests,
        "least_seconds": round(report.effort.seconds),
        "images": {image: asdict(one) for image, one in report.images.items()},
    }


def _pair(now: str, asked: str, pair: tuple[int, int] | None) -> dict[str, int]:
    return {} if pair is None else {now: pair[0], asked: pair[1]}


def _rule(rule: RuleJobs, expected: RuleEstimate) -> dict[str, Any]:
    cells = dict(zip(_COLUMNS, map(str, _cells(rule)), strict=False))
    return {name.lower(): value for name, value in cells.items()} | {
        "jobs": len(rule.jobs),
        "estimate": {
            "source": expected.source,
            "low": round(expected.low, 6),
            "high": round(expected.high, 6),
            "samples": expected.samples,
            "price": round(expected.price, 6),
            "seconds": round(expected.seconds, 3),
        },
    }
