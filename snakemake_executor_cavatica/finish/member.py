"""Which job of a group a failure is about, and what of the group's task is that job's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..plan.plan import JobPlan, PlannedMember, PlannedOutput
from ..translate.task_report import JobReport


def member_of(plan: JobPlan, report: JobReport) -> PlannedMember | None:
    """The job that failed; None if it is no group, or nobody can tell."""
    number = report.member
    return plan.members[number] if number is not None and number < len(plan.members) else None


def title_of(plan: JobPlan, report: JobReport) -> str:
    """What people call the job that failed."""
    member = member_of(plan, report)
    return plan.title if member is None else f"{plan.title}, job {member.title}"


def others_that_failed(plan: JobPlan, report: JobReport) -> list[str]:
    """What people call the others that failed at the same moment."""
    return [plan.members[one].title for one in report.failed_too if one < len(plan.members)]


def outputs_of(plan: JobPlan, report: JobReport) -> Sequence[PlannedOutput]:
    """The outputs whose numbers are in the report."""
    member = member_of(plan, report)
    return plan.outputs if member is None else member.outputs


def logs_of(plan: JobPlan, report: JobReport) -> Mapping[int, str]:
    """The logs of the job that failed, by their numbers among the outputs of the task."""
    member = member_of(plan, report)
    if member is None:
        return report.logs
    own = {output.path for output in member.outputs if output.role == "log"}
    return {
        index: text
        for index, text in report.logs.items()
        if index < len(plan.outputs) and plan.outputs[index].path in own
    }
