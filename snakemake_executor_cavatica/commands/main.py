"""The command `snakemake-cavatica`: what a user needs besides running workflows.

What a command needs is imported once it is known which one it is, so that help is there at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module

from .data_arguments import add_data_commands
from .init_arguments import add_init_command
from .platform_arguments import Commands, add_coordinator_project, add_platform_options
from .run_arguments import add_run_commands
from .submit_arguments import add_submit

_HINTS: dict[str, str] = dict.fromkeys(
    ("check", "sources", "submit"), "; write -- before those of Snakemake"
)
_MODULES = {"clean": "cleaning"}
"""By command: the module whose `run` does the work, where that is not called like it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; the exit status."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        _offer(parser)
    options, more = parser.parse_known_args(arguments)
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}{_HINTS.get(options.command, '')}")
    from .exit_status import exit_status  # noqa: PLC0415 - it brings the client

    return exit_status("snakemake-cavatica", lambda: _work(options))


def _offer(parser: argparse.ArgumentParser) -> None:
    """What a shell may complete; this ends the process if a shell has asked."""
    import argcomplete  # noqa: PLC0415 - an extra, and only shells need it

    argcomplete.autocomplete(parser)


def _work(options: argparse.Namespace) -> int:
    try:
        module = import_module(f".{_MODULES.get(options.command, options.command)}", __package__)
    except ImportError as error:
        if options.command not in ("sources", "submit", "check"):
            raise
        from ..api import ConfigurationError  # noqa: PLC0415

        raise ConfigurationError(
            f"Only Snakemake can say what a workflow does, and it is not installed here "
            f"({error.name} is missing): pip install 'snakemake>=9.23.1,<10'."
        ) from error
    status: int = module.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snakemake-cavatica",
        description="Snakemake on CAVATICA: what runs do, have done and cost, what they leave, and "
        "the files of projects.",
        epilog="Exit status: 0 all is well; 1 it did not work, was not found, or (check) would not "
        "work; 2 the options are wrong, or (check) the platform does not answer; 3 (status) the "
        "run has ended, and not all of its jobs are done, or (debug) the task has failed here as "
        "well; 4 it cannot be told how the run stands, or whether tasks have stopped; 130 Ctrl-C; "
        "141 nobody reads what it says.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_init_command(commands)
    add_run_commands(commands)
    add_data_commands(commands)
    _add_check(commands)
    _add_sources(commands)
    add_submit(commands)
    _add_clean(commands)
    return parser


def _add_clean(commands: Commands) -> None:
    parser = commands.add_parser(
        "clean",
        help="remove what runs leave on the platform besides results",
        description="Remove what runs of the plugin leave in a project besides results: drafts "
        "that were never started, outputs of runs whose files are on a local machine, uploaded "
        "inputs, and copies from other projects. Run it while no workflow runs in the project: "
        "tasks that are queued or running are respected, but what a run will need next cannot be "
        "known. The next run uploads again what it needs.",
    )
    add = parser.add_argument
    add(
        "--project",
        default=os.environ.get("SNAKEMAKE_CAVATICA_PROJECT"),
        help="project to clean, as owner/project",
    )
    add_platform_options(parser)
    add_coordinator_project(parser)
    add("--folder", default="snakemake", help="the runs' --cavatica-folder (default: snakemake)")
    add("--older-than", type=_days, metavar="DAYS", help="only what is older than so many days")
    add("--runs", nargs="+", metavar="ID", default=[], help="only what these runs left")
    add("--dry-run", action="store_true", help="only list what would be deleted")
    add("--yes", action="store_true", help="delete without asking")


def _add_check(commands: Commands) -> None:
    parser = commands.add_parser(
        "check",
        help="tell all that can be known of a run before its first task, and what it will cost",
        usage="snakemake-cavatica check [-h] [--json] [-- SNAKEMAKE_ARGUMENTS]",
        description="Tell what would go wrong in a run of the workflow, how its rules would run, "
        "and what they will cost by what they have cost before. Nothing is made on the platform, "
        "and no task is started.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    _add_arguments_of_snakemake(parser)


def _add_sources(commands: Commands) -> None:
    parser = commands.add_parser(
        "sources",
        help="list the files of a workflow that a run would send along to its tasks",
        usage="snakemake-cavatica sources [-h] [--json] [-- SNAKEMAKE_ARGUMENTS]",
        description="List the files that a run of the workflow would send along to its tasks, and "
        "why; the largest last. Nothing is run and nothing is sent. A token is needed only where "
        "files of the workflow are on the platform.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    _add_arguments_of_snakemake(parser)


def _add_arguments_of_snakemake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="SNAKEMAKE_ARGUMENTS",
        help="what the run would be called with, for example --workflow-profile or --directory",
    )


def _days(text: str) -> timedelta:
    try:
        days = timedelta(days=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days") from None
    if days < timedelta(0):
        raise argparse.ArgumentTypeError("the number of days is negative")
    return days


if __name__ == "__main__":
    sys.exit(main())
