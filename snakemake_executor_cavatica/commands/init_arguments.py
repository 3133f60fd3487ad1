"""The options of `init`."""

from __future__ import annotations

import argparse
import os

from .platform_arguments import Commands


def add_init_command(commands: Commands) -> None:
    """The one that prepares a first run."""
    parser = commands.add_parser(
        "init",
        help="prepare a first run: token, project, profile",
        description="Ask for platform, token, project, place of the data and spot instances, test "
        "them, and write a profile for runs. What an option says is not asked; without a terminal "
        "nothing is. The token is kept in ~/.sevenbridges/credentials, which the provider's own "
        "tools read too.",
    )
    _add_who(parser)
    _add_what(parser)


def _add_who(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--api-endpoint",
        metavar="PLATFORM",
        default=os.environ.get("SNAKEMAKE_CAVATICA_API_ENDPOINT"),
        help="cavatica, cgc, sevenbridges, sevenbridges-eu, biodatacatalyst, the address of an "
        "API, or local for the embedded platform (default without a terminal: cavatica)",
    )
    add(
        "--token-file",
        metavar="FILE",
        help="file with the token, - for the standard input (default: the one that a run would "
        "find, from the environment or the credentials; a token itself is no option, because "
        "process lists and logs show those)",
    )
    add(
        "--credentials-profile",
        metavar="PROFILE",
        default=os.environ.get("SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE"),
        help="section of ~/.sevenbridges/credentials to keep the token in (default: the "
        "platform's name)",
    )
    add("--replace-token", action="store_true", help="replace another token in that section")


def _add_what(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--project", default=os.environ.get("SNAKEMAKE_CAVATICA_PROJECT"), help="owner/project")
    add(
        "--data",
        metavar="here|FOLDER",
        help="where the workflow's files are: on this machine, or in a folder of the project "
        "(default without a terminal: here)",
    )
    add(
        "--spot",
        choices=["project", "yes", "no"],
        help="spot instances (default without a terminal: as the project is set)",
    )
    add(
        "--profile",
        metavar="FOLDER",
        default="profiles/cavatica",
        help="folder of the profile (default: %(default)s)",
    )
    add("--check", action="store_true", help="check the workflow of this folder, too")
    add("--overwrite", action="store_true", help="replace a profile that is there")
