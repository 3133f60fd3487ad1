"""Average the depth of well-mapped reads over windows of the genome."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pysam

if TYPE_CHECKING:
    from collections.abc import Iterator


def depths(bam: pysam.AlignmentFile, contig: str, min_mapping_quality: int) -> list[int]:
    """Return the depth at every position of the contig."""

    def is_good(read: pysam.AlignedSegment) -> bool:
        return not read.is_unmapped and read.mapping_quality >= min_mapping_quality

    by_base = bam.count_coverage(contig, quality_threshold=0, read_callback=is_good)
    return [sum(counts) for counts in zip(*by_base)]  # noqa: B905  (strict= is not in Python 3.9)


def windows(depth: list[int], size: int) -> Iterator[tuple[int, int, float]]:
    """Yield start, end (0-based, half-open) and mean depth of every window."""
    for start in range(0, len(depth), size):
        window = depth[start : start + size]
        yield start, start + len(window), sum(window) / len(window)


def main() -> None:
    """Write one line per window; the genome has one contig."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bam", required=True, help="sorted and indexed")
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--min-mapping-quality", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    with pysam.AlignmentFile(args.bam) as bam:
        (contig,) = bam.references
        depth = depths(bam, contig, args.min_mapping_quality)
    with args.output.open("w", newline="") as handle:
        table = csv.writer(handle, delimiter="\t", lineterminator="\n")
        table.writerow(["start", "end", "depth"])
        table.writerows([s, e, f"{mean:.2f}"] for s, e, mean in windows(depth, args.window))


if __name__ == "__main__":
    main()
