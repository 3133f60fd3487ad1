"""The options that say which platform a command works on."""

from __future__ import annotations

import argparse
import os
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_coordinator_project(parser: argparse.ArgumentParser) -> None:
    """Where the main processes run that were submitted."""
    parser.add_argument(
        "--coordinator-project",
        metavar="OWNER/PROJECT",
        default=os.environ.get("SNAKEMAKE_CAVATICA_COORDINATOR_PROJECT"),
        help="project of your own for main processes that were submitted, with you as its only "
        "member, since they get your token (default: snakemake-coordinator, which is made)",
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
