"""The options that say which platform a command works on."""

from __future__ import annotations

import argparse
import os
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


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
