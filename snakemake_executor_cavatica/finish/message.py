"""The message of a failed job: why, what to do, where to look, and the end of its stderr. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..plan.plan import JobPlan
from ..project.paths import ProjectPath
from ..translate.task_report import JobReport
from ..watch.outcome import Failed, Lost
from .evidence import Evidence
from .foreign_text import one_line, shown
from .member import logs_of, others_that_failed, title_of
from .reasons import recognise

STDERR_LINES = 30
_LONGEST_LINE = 300
_MOST_LOGS = 5
_NOT_TEXT = 10
"""One byte in so many that is no UTF-8: then it is no text."""


def describe(plan: JobPlan, link: str, result: Failed | Lost, evidence: Evidence) -> str:
    """The message: rule, what happened, what to do, task, and the end of stderr. Pure."""
    finding = recognise(plan, result, evidence)
    report = evidence.report
    lines = [f"{title_of(plan, report)}: {finding.sentence} {finding.advice}".rstrip()]
    if others := others_that_failed(plan, report):
        lines.append(f"At the same moment there failed: {', '.join(others)}.")
    lines.append(f"Task: {one_line(link)} (platform: {one_line(result.reason)})")
    if evidence.trouble:
        lines.append(f"({one_line(evidence.trouble)})")
    stderr = report.stderr
    if stderr.strip():
        lines.extend(_end("the job's stderr", stderr, STDERR_LINES))
    logs = _logs_to_show(plan, report)
    for place, text in logs:
        lines.extend(_end(f"the log {place}", text, STDERR_LINES // len(logs)))
    return "\n".join(lines) + "\n"


def _logs_to_show(plan: JobPlan, report: JobReport) -> list[tuple[str, str]]:
    """The logs whose ends are told: those that are not on this machine, and else if there is no
    stderr, which says why as a rule.
    """
    written = [
        (plan.outputs[index].place, text)
        for index, text in logs_of(plan, report).items()
        if index < len(plan.outputs) and text.strip()
    ]
    wanted = [
        (place.query if isinstance(place, ProjectPath) else place.path, text)
        for place, text in written
        if isinstance(place, ProjectPath) or not report.stderr.strip()
    ]
    return wanted[:_MOST_LOGS]


def _end(name: str, text: str, count: int) -> Iterator[str]:
    """The last lines of a text, under its name."""
    if "\0" in text or text.count("\ufffd") > len(text) / _NOT_TEXT:
        yield f"(There is no text in {one_line(name)}.)"
        return
    yield f"End of {one_line(name)}:"
    yield from (
        f"    {shown(line, _LONGEST_LINE)}".rstrip() for line in text.strip().splitlines()[-count:]
    )
