"""`snakemake-cavatica clean`: shows what would go, asks, and says what became of it."""

from __future__ import annotations

import argparse
import sys

from ..connections import CONNECTIONS
from ..translate.job_key import run_of
from .asking import agreed
from .clean import CleanRequest, Survey, survey
from .clean_coordinators import add_remains
from .deletion import Outcome, carry_out, check_again
from .platform import checked_folder, checked_project, tell_waits

_GB = 10**9
_SMALLEST_SHOWN = _GB // 100
_MOST_LINES = 50
"""Lines of one kind in a list; the rest is counted."""


def run(options: argparse.Namespace) -> int:
    """Show what would go, ask, and delete it; the exit status."""
    tell_waits()
    folder = checked_folder(options.folder)
    connected = CONNECTIONS.connect(options.api_endpoint, options.credentials_profile)
    project = checked_project(connected, options.project)
    request = CleanRequest(project, folder, options.older_than, frozenset(options.runs))
    plan = survey(connected.client, request)
    add_remains(connected.client, request, plan, options.coordinator_project)
    _say(f"Project {project} on {connected.client.endpoint}\n")
    _show(plan)
    for run in sorted(plan.unknown_runs):
        _say(f"There is nothing of a run {run} (--runs).")
    if plan.is_empty:
        _say("There is nothing to delete.")
        return 0
    if options.dry_run:
        _say("Nothing was deleted (--dry-run).")
        return 0
    if not options.yes and not _agreed(plan):
        _say("Nothing was deleted.")
        return 1
    check_again(connected.client, request, plan)
    return _report(carry_out(connected.client, request, plan))


def _show(plan: Survey) -> None:
    """What would go, what would stay and why."""
    if not plan.is_empty:
        _say("To delete:")
    _lines([f"draft {task.id}  {task.name}  (run {run_of(task)})" for task in plan.drafts])
    width = max((len(item.label) for item in plan.to_delete), default=0)
    counted = [item for item in plan.to_delete if item.count or item.exact]
    _lines(
        [f"{item.label:<{width}}  {_amount(item.count, item.size, item.exact)}" for item in counted]
    )
    others = [item.label for item in plan.to_delete if item not in counted]
    if others:
        _say(f"  and {len(others)} that were not looked into: {others[0]} to {others[-1]}")
    kept = [
        *(f"task {task.id} ({task.name}): it is {task.status}" for task in plan.live),
        *(f"{kept.what}: {kept.why}" for kept in plan.kept),
    ]
    if kept:
        _say("To keep:")
        _lines(kept)
    _say(
        "Finished tasks stay, since they tell how results were made. Apps (snakemake-...) stay, "
        "since the API cannot delete them: do that on the project's Apps page."
    )


def _lines(lines: list[str]) -> None:
    for line in lines[:_MOST_LINES]:
        _say(f"  {line}")
    if len(lines) > _MOST_LINES:
        _say(f"  ... and {len(lines) - _MOST_LINES} more")


def _amount(count: int, size: int, exact: bool) -> str:
    size_text = f"{size / _GB:.2f} GB" if size >= _SMALLEST_SHOWN or not size else "< 0.01 GB"
    return f"{'' if exact else 'at least '}{count} files, {size_text}"


def _agreed(plan: Survey) -> bool:
    amount = _amount(
        sum(item.count for item in plan.to_delete),
        sum(item.size for item in plan.to_delete),
        all(item.exact for item in plan.to_delete),
    )
    return agreed(
        f"Delete {len(plan.drafts)} drafts and {amount}? It cannot be undone.",
        "There is no terminal to ask on whether to delete this. Nothing was deleted; say --yes "
        "if you mean it.",
    )


def _report(outcome: Outcome) -> int:
    """Say what became of it; 1 if something could not be deleted."""
    _say(f"Deleted {outcome.drafts} drafts{''.join(f', {label}' for label in outcome.labels)}.")
    if not outcome.failures:
        return 0
    failures = "".join(f"\n  {failure}" for failure in outcome.failures)
    sys.stderr.write(f"snakemake-cavatica: these could not be deleted:{failures}\n")
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
