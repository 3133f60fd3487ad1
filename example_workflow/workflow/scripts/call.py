"""Call SNVs and small indels of a haploid sample from the pileup of one region.

A variant is called where enough trusted reads cover a position and most of them agree on it.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pysam

if TYPE_CHECKING:
    from collections.abc import Iterator


class Thresholds(NamedTuple):
    """When a read is trusted and a variant called."""

    min_depth: int
    min_fraction: float
    min_base_quality: int
    min_mapping_quality: int
    end_margin: int


class Call(NamedTuple):
    """A variant as in VCF: 1-based position, indels anchored on their left neighbour."""

    pos: int
    ref: str
    alt: str
    depth: int
    fraction: float


def is_trusted(pileup: pysam.PileupRead, limits: Thresholds) -> bool:
    """Whether the read may speak about this position.

    Near the end of an alignment an aligner prefers mismatches to opening a gap or clipping the
    read, so the last bases would speak for variants that are not there. A deleted base has no
    quality of its own; it counts, or the few misaligned reads at its place would seem to agree.
    """
    read = pileup.alignment
    if read.mapping_quality < limits.min_mapping_quality:
        return False
    position = pileup.query_position_or_next
    from_start = position - read.query_alignment_start
    to_end = read.query_alignment_end - 1 - position
    if min(from_start, to_end) < limits.end_margin:
        return False
    qualities = read.query_qualities
    assert qualities is not None  # our reads come from FASTQ
    return bool(pileup.is_del) or qualities[position] >= limits.min_base_quality


def allele(pileup: pysam.PileupRead, genome: str, start: int) -> tuple[str, str]:
    """Return the reference's and the read's sequence here; they are equal if no variant starts."""
    reference = genome[start]
    if pileup.is_del:  # the deletion was counted at its anchor
        return reference, reference
    bases, position = pileup.alignment.query_sequence, pileup.query_position
    assert bases is not None  # our reads come from FASTQ
    assert position is not None  # only a deleted base has none
    if pileup.indel > 0:
        return reference, reference + bases[position + 1 : position + 1 + pileup.indel]
    if pileup.indel < 0:
        return genome[start : start + 1 - pileup.indel], reference
    return reference, bases[position]


def normalise(genome: str, start: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Return an indel in its leftmost form: a repeat gives it several equal ones."""
    while start > 0 and len(ref) != len(alt) and ref[-1] == alt[-1]:
        start -= 1
        ref, alt = genome[start] + ref[:-1], genome[start] + alt[:-1]
    return start, ref, alt


def call_column(column: pysam.PileupColumn, genome: str, limits: Thresholds) -> Call | None:
    """Return the variant at one position of the genome, if there is one."""
    start = column.reference_pos
    trusted = [read for read in column.pileups if is_trusted(read, limits)]
    if len(trusted) < limits.min_depth:
        return None
    (ref, alt), count = Counter(allele(read, genome, start) for read in trusted).most_common(1)[0]
    fraction = count / len(trusted)
    if ref == alt or fraction < limits.min_fraction:
        return None
    start, ref, alt = normalise(genome, start, ref, alt)
    return Call(start + 1, ref, alt, len(trusted), fraction)


def call_region(
    bam: pysam.AlignmentFile, genome: str, region: tuple[int, int], limits: Thresholds
) -> Iterator[Call]:
    """Yield the variants of a region (0-based, half-open)."""
    (contig,) = bam.references
    # Base qualities are judged by `is_trusted`, which must still see reads with a deletion.
    columns = bam.pileup(contig, *region, truncate=True, min_base_quality=0)
    for column in columns:
        call = call_column(column, genome, limits)
        if call:
            yield call


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bam", required=True, help="sorted and indexed")
    parser.add_argument("--genome", required=True, help="FASTA, indexed, of one contig")
    parser.add_argument("--sample", required=True)
    parser.add_argument("--start", type=int, required=True, help="0-based")
    parser.add_argument("--end", type=int, required=True, help="not included")
    parser.add_argument("--min-depth", type=int, required=True)
    parser.add_argument("--min-fraction", type=float, required=True)
    parser.add_argument("--min-base-quality", type=int, required=True)
    parser.add_argument("--min-mapping-quality", type=int, required=True)
    parser.add_argument("--end-margin", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Write the variants of one sample in one region."""
    args = parse_arguments()
    limits = Thresholds(**{name: getattr(args, name) for name in Thresholds._fields})
    with pysam.FastaFile(args.genome) as fasta:
        genome = fasta.fetch(fasta.references[0]).upper()
    with pysam.AlignmentFile(args.bam) as bam, args.output.open("w", newline="") as handle:
        table = csv.writer(handle, delimiter="\t", lineterminator="\n")
        table.writerow(["sample", *Call._fields])
        for call in call_region(bam, genome, (args.start, args.end), limits):
            table.writerow([args.sample, *call[:-1], f"{call.fraction:.3f}"])


if __name__ == "__main__":
    main()
