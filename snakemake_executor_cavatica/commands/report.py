"""`snakemake-cavatica report`: what a run did, as one HTML file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..observe.record import find_record, read_record
from ..observe.report.document import write_report


def run(options: argparse.Namespace) -> int:
    """Make the report of a run that has left its record here."""
    record = read_record(find_record(Path.cwd(), options.run))
    path = Path(options.output)
    write_report(record, path)
    sys.stdout.write(f"{path.absolute()}\n")
    return 0
