"""The options of `snakemake-cavatica submit`."""

from __future__ import annotations

from .platform_arguments import Commands, add_coordinator_project


def add_submit(commands: Commands) -> None:
    """The command that starts the main process of a run as a task."""
    parser = commands.add_parser(
        "submit",
        help="let the main process of a run be a task of the platform",
        usage="snakemake-cavatica submit [options] -- SNAKEMAKE_ARGUMENTS",
        description="Start one task, the coordinator, in which Snakemake runs with these arguments "
        "in storage mode, and return. It goes on when this machine is switched off. The same "
        "command goes on where an earlier one stopped.",
    )
    add_coordinator_project(parser)
    add = parser.add_argument
    add("--instance-type", metavar="TYPE", help="of the coordinator (default: a small one)")
    add("--image", help="of the coordinator; it has to hold Snakemake (default: as for tasks)")
    add("--follow", action="store_true", help="show its log until it ends; Ctrl-C only stops that")
    add("--json", action="store_true", help="for programs")
    add(
        "arguments",
        nargs="*",
        metavar="SNAKEMAKE_ARGUMENTS",
        help="what the run would be called with, for example --workflow-profile or --directory",
    )
