"""Put the calls of all samples and regions into one table, in order of sample and position."""

import argparse
import csv
from pathlib import Path

FIELDS = ["sample", "pos", "ref", "alt", "depth", "fraction"]


def main() -> None:
    """Write the table; without calls it has its header only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=Path, nargs="*")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    rows: list[dict[str, str]] = []
    for path in args.calls:
        with path.open(newline="") as handle:
            rows += csv.DictReader(handle, delimiter="\t")
    rows.sort(key=lambda row: (row["sample"], int(row["pos"])))
    with args.output.open("w", newline="") as handle:
        table = csv.DictWriter(handle, FIELDS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
