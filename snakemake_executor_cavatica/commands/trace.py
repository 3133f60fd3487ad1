"""`snakemake-cavatica trace`: Nextflow's trace of a run, from what is known of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..api import ConfigurationError
from ..observe.trace import trace
from ..observe.whole_file import write_whole
from .show import remarks
from .which_run import enter, told_run


def run(options: argparse.Namespace) -> int:
    """Write it to a file, or else to stdout; the exit status."""
    target = None if options.output in (None, "-") else Path(options.output).absolute()
    enter(options.directory)
    told = told_run(options, options.run)
    text = trace(told.attempts)
    if target is None:
        sys.stdout.write(text)
    else:
        try:
            write_whole(target, text)
        except OSError as error:
            raise ConfigurationError(f"{target} cannot be written: {error.strerror}.") from error
    remarks(told.remarks)
    return 0
