"""The options of the commands that are about runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .platform_arguments import Commands, add_coordinator_project, add_platform_options

_RUNS = (Path(".snakemake/cavatica/runs"), Path(".snakemake/cavatica/submitted"))
"""Of all that ran here, or were submitted from here."""
_TELLS = (
    "The record of the run, on the machine where it ran, tells it; without one the platform does, "
    "as far as it can, from any machine: then the project has to be named."
)


def add_run_commands(commands: Commands) -> None:
    """Those that show runs, and the one that ends them."""
    _add_runs(commands)
    _add_status(commands)
    _add_logs(commands)
    _add_cancel(commands)
    _add_cost(commands)
    _add_trace(commands)
    _add_report(commands)
    _add_debug(commands)


def _add_runs(commands: Commands) -> None:
    parser = _parser(commands, "runs", "list the runs, the newest first")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--most", type=_number, default=20, metavar="NUMBER", help="so many at most (default: 20)"
    )


def _add_status(commands: Commands) -> None:
    parser = _parser(commands, "status", "show how a run stands")
    _add_run(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help="until the run ends")


def _add_logs(commands: Commands) -> None:
    parser = _parser(
        commands,
        "logs",
        "show why jobs have failed: message, command, logs of the rule, stderr",
    )
    target = parser.add_argument(
        "target",
        nargs="?",
        metavar="RUN|TASK|RULE",
        help="of which run, task, or rule of the newest run (default: the newest run)",
    )
    _complete(target)
    add = parser.add_argument
    _complete(add("--run", metavar="RUN", help="the run that a rule is of"))
    add("--all", action="store_true", help="of all attempts, not only of jobs that have failed")
    add(
        "--follow",
        action="store_true",
        help="of a run that was submitted: what its main process says, until it ends",
    )
    add("--json", action="store_true", help="for programs")
    add("--lines", type=_number, default=50, metavar="NUMBER", help="of each text; 0: all there is")
    add("--most", type=_number, default=10, metavar="NUMBER", help="attempts; 0: all (default: 10)")


def _add_cancel(commands: Commands) -> None:
    parser = _parser(commands, "cancel", "abort all that a run has under way on the platform")
    _add_run(parser, is_needed=True)
    add = parser.add_argument
    add("--rule", metavar="RULE", help="only the tasks of this rule, also of a run that goes on")
    add(
        "--interrupt",
        action="store_true",
        help="press Ctrl-C, so to speak, in the run's main process, if it is on this machine",
    )
    add("--json", action="store_true", help="for programs")
    add("--yes", action="store_true", help="abort without asking")


def _add_cost(commands: Commands) -> None:
    parser = _parser(commands, "cost", "show what a run has cost, rule by rule")
    _add_run(parser)
    add = parser.add_argument
    add("--json", action="store_true", help="for programs")
    add(
        "--exact",
        action="store_true",
        help="with six decimals, from the breakdown of the billing group; for its admins only",
    )


def _add_trace(commands: Commands) -> None:
    parser = _parser(commands, "trace", "write Nextflow's default trace columns")
    _add_run(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")


def _add_report(commands: Commands) -> None:
    parser = commands.add_parser(
        "report",
        help="make the report of a run: one HTML file that needs nothing else",
        description="Make the report of a run that has left its record in this directory: what "
        "ran when, what it took and cost, why it failed, and what its rules could ask for instead. "
        "Works while the run goes on, and long after; the platform is asked only about a run that "
        "was submitted.",
    )
    _add_run(parser)
    _add_directory(parser)
    add_coordinator_project(parser)
    add_platform_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="cavatica-report.html",
        help="the file (default: cavatica-report.html)",
    )


def _add_debug(commands: Commands) -> None:
    parser = _parser(
        commands, "debug", "run a task again on this machine, and leave it to look into"
    )
    add = parser.add_argument
    add("task", metavar="TASK", help="its id, as `logs` and pages show it")
    add("--to", metavar="FOLDER", help="new folder for all of it (default: cavatica-debug-...)")
    add(
        "--containers",
        choices=("auto", "podman", "docker", "none"),
        default="auto",
        help="what runs its image (default: podman or docker, if one is here)",
    )
    add("--yes", action="store_true", help="download its inputs without asking")


# -------------------------------------------------------------------------------------- common


def _parser(commands: Commands, name: str, what: str) -> argparse.ArgumentParser:
    description = f"{what[0].upper()}{what[1:]}. {_TELLS}"
    parser = commands.add_parser(name, help=what, description=description)
    add = parser.add_argument
    _add_directory(parser)
    add(
        "--project",
        default=os.environ.get("SNAKEMAKE_CAVATICA_PROJECT"),
        help="without a record: project that the tasks run in, as owner/project",
    )
    add("--folder", default="snakemake", help="the run's --cavatica-folder (default: snakemake)")
    add_coordinator_project(parser)
    add("--without-record", action="store_true", help="ask the platform even if there is a record")
    add_platform_options(parser)
    return parser


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-d", "--directory"),
        default=".",
        help="working directory of the run (default: this one)",
    )


def _add_run(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    default = "" if is_needed else " (default: the newest)"
    run = parser.add_argument(
        "run",
        nargs=None if is_needed else "?",
        metavar="RUN",
        help=f"id of the run, or the end of it{default}",
    )
    _complete(run)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _complete(argument: argparse.Action) -> None:
    """Let a shell offer the runs that have left a record, if it has argcomplete."""
    argument.completer = _runs_here  # type: ignore[attr-defined]


def _runs_here(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    directory = Path(getattr(parsed_args, "directory", None) or ".")
    found = [path for folder in _RUNS for path in (directory / folder).glob("*-*-*")]
    return sorted({path.name for path in found}, reverse=True)
