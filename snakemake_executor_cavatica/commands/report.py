"""`snakemake-cavatica report`: what a run did, as one HTML file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..observe.record import Record, UnreadableRecord, find_record, read_record
from ..observe.report.document import write_report
from ..observe.submissions import newest_submission
from ..run.run_id import is_submitted
from .submitted import find_submitted, told_submitted
from .which_run import enter


def run(options: argparse.Namespace) -> int:
    """Make the report of a run that has left its record here, or on the platform."""
    path = Path(options.output).absolute()
    enter(options.directory)
    write_report(_record(options), path)
    sys.stdout.write(f"{path}\n")
    return 0


def _record(options: argparse.Namespace) -> Record:
    submission = None if options.run else newest_submission(Path.cwd())
    run = options.run if submission is None else submission.run
    try:
        return read_record(find_record(Path.cwd(), run))
    except UnreadableRecord:
        if run is None or not is_submitted(run):
            raise
    told = told_submitted(find_submitted(options, run))
    if told.folder is None:
        raise UnreadableRecord(f"The main process of the run {run} has not written a record yet.")
    return Record(told.folder, told.runs, told.paid, told.remarks)
