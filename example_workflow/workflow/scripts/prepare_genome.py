"""Unpack a genome under its plain accession and index it."""

import argparse
import gzip
from pathlib import Path

import pysam


def plain_name(header: str) -> str:
    """Return the accession of a FASTA header, also of NCBI's old form `gi|...|ref|ACCESSION|`.

    Vertical bars in a sequence name would have to be quoted in every command that uses it.
    """
    name = header[1:].split(maxsplit=1)[0]
    return name.split("|")[3] if name.startswith("gi|") else name


def unpack(source: Path, target: Path) -> None:
    """Write the genome unpacked, its headers shortened."""
    with gzip.open(source, "rt") as packed, target.open("w") as unpacked:
        for line in packed:
            if line.startswith(">"):
                unpacked.write(f">{plain_name(line)}\n")
            elif line.strip():  # an empty line inside a FASTA file breaks its index
                unpacked.write(line)


def main() -> None:
    """Write the FASTA file and, beside it, its index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genome", type=Path, required=True, help="FASTA, gzip-compressed")
    parser.add_argument("--output", type=Path, required=True, help="FASTA; the index lands beside")
    args = parser.parse_args()
    unpack(args.genome, args.output)
    pysam.faidx(str(args.output))


if __name__ == "__main__":
    main()
