"""Sort a BAM file by position and index it."""

import argparse

import pysam


def main() -> None:
    """Write the sorted BAM file and, beside it, its index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bam", required=True)
    parser.add_argument("--output", required=True, help="BAM; the index lands beside it")
    args = parser.parse_args()
    pysam.sort("-o", args.output, args.bam)
    pysam.index(args.output)


if __name__ == "__main__":
    main()
