"""What people should know of a rule's jobs, though they do run. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from .files import links_for_size
from .plan import JobPlan


class About(StrEnum):
    """What a remark is about; each is told once of a rule."""

    LINKS = "inputs that are links because of their size"
    NOTHING_LEFT = "jobs of which nothing comes back"


def remarks_on(plan: JobPlan) -> Iterator[tuple[About, str]]:
    """All that there is to say, whole sentences."""
    if plan.is_linked_for_size:
        yield About.LINKS, links_for_size(plan)
    if plan.leaves_nothing:
        yield About.NOTHING_LEFT, _nothing_left(plan.facts.rule)


def _nothing_left(rule: str) -> str:
    return (
        f"Rule {rule} declares no output, log or benchmark: it runs in a task, and whatever it "
        "makes, changes, removes or prints there stays there. If it is meant to work on files of "
        "this machine, write localrule: True into it, or list it under localrules:."
    )
