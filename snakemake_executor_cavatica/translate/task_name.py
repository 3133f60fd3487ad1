"""What tasks are called."""

from __future__ import annotations

from collections.abc import Callable

from ..plan.plan import JobPlan

_DEFAULT_JOBNAME = "snakejob.{"
_LONGEST = 200


def task_name(plan: JobPlan, jobname: str, by_jobname: Callable[[], str]) -> str:
    """`rule [sample=A]`, unless the user has another pattern.

    Args:
        jobname: the pattern of --jobname.
        by_jobname: makes the name by it.
    """
    return plan.title if jobname.startswith(_DEFAULT_JOBNAME) else by_jobname()


def shared_task_name(plan: JobPlan, jobs: int) -> str:
    """Of a task for several jobs of the rule."""
    return f"{plan.facts.rule} [{jobs} jobs]"


def shortened(name: str) -> str:
    """As long a name as the platform's pages show well."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
