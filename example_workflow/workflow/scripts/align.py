"""Align single-end short reads to a genome and write an unsorted BAM file."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import mappy
import pysam

SOFT_CLIP = 4


class Read(NamedTuple):
    """One record of a FASTQ file."""

    name: str
    bases: str
    qualities: str


def best_hit(aligner: mappy.Aligner, read: Read) -> mappy.Alignment | None:
    """Return the primary alignment of the read, if any."""
    return next((hit for hit in aligner.map(read.bases) if hit.is_primary), None)


def clipped_cigar(hit: mappy.Alignment, length: int) -> list[tuple[int, int]]:
    """Return the CIGAR operations with the unaligned ends of the read as soft clips.

    mappy counts positions along the read as sequenced, BAM along the genome's forward strand.
    """
    before, after = hit.q_st, length - hit.q_en
    if hit.strand < 0:
        before, after = after, before
    middle = [(operation, size) for size, operation in hit.cigar]
    ends = [[(SOFT_CLIP, size)] if size else [] for size in (before, after)]
    return ends[0] + middle + ends[1]


def to_segment(
    read: Read, hit: mappy.Alignment | None, header: pysam.AlignmentHeader
) -> pysam.AlignedSegment:
    """Return the read as a BAM record."""
    segment = pysam.AlignedSegment(header)
    segment.query_name = read.name
    reverse = hit is not None and hit.strand < 0
    segment.query_sequence = mappy.revcomp(read.bases) if reverse else read.bases
    qualities = read.qualities[::-1] if reverse else read.qualities
    segment.query_qualities = pysam.qualitystring_to_array(qualities)
    if hit is None:
        segment.is_unmapped = True
        return segment
    segment.is_reverse = reverse
    segment.reference_name = hit.ctg
    segment.reference_start = hit.r_st
    segment.mapping_quality = hit.mapq
    segment.cigartuples = clipped_cigar(hit, len(read.bases))
    segment.set_tag("NM", hit.NM)
    return segment


def main() -> None:
    """Align all reads; the BAM file keeps their order, whatever the number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", required=True, help="FASTQ, may be gzip-compressed")
    parser.add_argument("--genome", required=True, help="FASTA")
    parser.add_argument("--sample", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", required=True, help="BAM, unsorted")
    args = parser.parse_args()

    aligner = mappy.Aligner(args.genome, preset="sr")
    if not aligner:
        parser.error(f"cannot index {args.genome}")
    contigs = [{"SN": name, "LN": len(aligner.seq(name))} for name in aligner.seq_names]
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "unsorted"},
            "SQ": contigs,
            "RG": [{"ID": args.sample, "SM": args.sample}],
        }
    )
    reads = [Read(*record) for record in mappy.fastx_read(args.reads)]
    mapped = 0
    # mappy releases the interpreter's lock while it maps, so threads do run in parallel.
    with (
        ThreadPoolExecutor(args.threads) as pool,
        pysam.AlignmentFile(args.output, "wb", header=header) as bam,
    ):
        for read, hit in zip(reads, pool.map(partial(best_hit, aligner), reads)):  # noqa: B905
            segment = to_segment(read, hit, header)
            segment.set_tag("RG", args.sample)
            bam.write(segment)
            mapped += hit is not None
    print(f"{args.sample}: {mapped} of {len(reads)} reads aligned")


if __name__ == "__main__":
    main()
