"""The command `snakemake-cavatica`: what a user needs besides running workflows."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ..api import CavaticaError, ConfigurationError
from ..connections import CONNECTIONS
from ..project.connection import Connection
from ..read import values
from ..translate.job_key import run_of
from .clean import CleanRequest, Survey, survey
from .deletion import Outcome, carry_out, check_again
from .exit_status import exit_status

_GB = 10**9
_SMALLEST_SHOWN = _GB // 100
_MOST_LINES = 50
"""Lines of one kind in a list; the rest is counted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; the exit status."""
    options = _parser().parse_args(arguments)
    work = _sources if options.command == "sources" else _clean
    return exit_status("snakemake-cavatica", lambda: work(options))


# --- command line --------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snakemake-cavatica", description="Snakemake on CAVATICA: what is left to do by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_sources(commands)
    clean = commands.add_parser(
        "clean",
        help="remove what runs leave on the platform besides results",
        description="Remove what runs of the plugin leave in a project besides results: drafts "
        "that were never started, outputs of runs whose files are on a local machine, uploaded "
        "inputs, and copies from other projects. Run it while no workflow runs in the project: "
        "tasks that are queued or running are respected, but what a run will need next cannot be "
        "known. The next run uploads again what it needs.",
    )
    add = clean.add_argument
    add(
        "--project",
        default=os.environ.get("SNAKEMAKE_CAVATICA_PROJECT"),
        help="project to clean, as owner/project",
    )
    add_platform_options(clean)
    add("--folder", default="snakemake", help="the runs' --cavatica-folder (default: snakemake)")
    add("--older-than", type=_days, metavar="DAYS", help="only what is older than so many days")
    add("--runs", nargs="+", metavar="ID", default=[], help="only what these runs left")
    add("--dry-run", action="store_true", help="only list what would be deleted")
    add("--yes", action="store_true", help="delete without asking")
    return parser


def _add_sources(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sources",
        help="list the files of a workflow that a run would send along to its tasks",
        usage="snakemake-cavatica sources [-h] [--json] [-- SNAKEMAKE_ARGUMENTS]",
        description="List the files that a run of the workflow would send along to its tasks, and "
        "why; the largest last. Nothing is run and nothing is sent. A token is needed only where "
        "files of the workflow are on the platform.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="SNAKEMAKE_ARGUMENTS",
        help="what the run would be called with, for example --workflow-profile or --directory",
    )


def add_platform_options(parser: argparse.ArgumentParser) -> None:
    """Which platform, as whom: the executor's own settings and environment variables."""
    parser.add_argument(
        "--api-endpoint",
        metavar="URL",
        default=os.environ.get("SNAKEMAKE_CAVATICA_API_ENDPOINT"),
        help="API endpoint, or 'local' for the embedded platform (default: CAVATICA)",
    )
    parser.add_argument(
        "--credentials-profile",
        metavar="PROFILE",
        default=os.environ.get("SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE"),
        help="section of ~/.sevenbridges/credentials (default: the environment, then 'cavatica')",
    )


def checked_project(connected: Connection, wanted: str | None) -> str:
    """The project to work on, which exists.

    Raises:
        ConfigurationError: none is named, or there is no such project for this token.
    """
    project = wanted or connected.default_project
    if project is None:
        raise ConfigurationError("No project is named; add --project owner/project.")
    try:
        project = values.project(project)
    except ValueError as error:
        raise ConfigurationError(f"--project {project!r} {error}.") from None
    connected.project(project)
    return project


def _days(text: str) -> timedelta:
    try:
        days = timedelta(days=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days") from None
    if days < timedelta(0):
        raise argparse.ArgumentTypeError("the number of days is negative")
    return days


# --- sources -------------------------------------------------------------------------------------


def _sources(options: argparse.Namespace) -> int:
    try:
        from .sources import list_sources  # noqa: PLC0415 - Snakemake takes a second to load
    except ImportError as error:
        raise ConfigurationError(
            f"Only Snakemake can say what a workflow reads, and it is not installed here "
            f"({error.name} is missing): pip install 'snakemake>=9.23.1,<10'."
        ) from error

    return list_sources(options.arguments, as_json=options.json)


# --- clean ---------------------------------------------------------------------------------------


def _clean(options: argparse.Namespace) -> int:
    # The waits for the rate limit and for a platform in maintenance can be long.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("snakemake_executor_cavatica").setLevel(logging.INFO)
    try:
        folder = values.folder(options.folder)
    except ValueError as error:
        raise ConfigurationError(f"--folder {options.folder!r} {error}.") from None
    connected = CONNECTIONS.connect(options.api_endpoint, options.credentials_profile)
    project = checked_project(connected, options.project)
    request = CleanRequest(project, folder, options.older_than, frozenset(options.runs))
    plan = survey(connected.client, request, datetime.now(UTC))
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
    check_again(connected.client, request, plan, datetime.now(UTC))
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
    """Ask. Without a terminal there is nobody to ask, and silence is no consent."""
    if not sys.stdin.isatty():
        raise CavaticaError(
            "There is no terminal to ask on whether to delete this. Nothing was deleted; say --yes "
            "if you mean it."
        )
    amount = _amount(
        sum(item.count for item in plan.to_delete),
        sum(item.size for item in plan.to_delete),
        all(item.exact for item in plan.to_delete),
    )
    question = f"Delete {len(plan.drafts)} drafts and {amount}? It cannot be undone. [y/N] "
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


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


if __name__ == "__main__":
    sys.exit(main())
