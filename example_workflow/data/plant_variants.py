"""Plant known variants into the phage lambda genome and simulate sequencing reads of the mutants.

Everything is drawn from one seed, so that running the script again reproduces the committed files
byte for byte. The truth table is written here, before any pipeline has seen the reads: `check.py`
judges the pipeline by it. Needs only the Python standard library:

    python data/plant_variants.py
"""

import argparse
import gzip
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 1416  # of NC_001416
READ_LENGTH = 150
BASES = "ACGT"
COMPLEMENT = str.maketrans("ACGT", "TGCA")

# Phred qualities in bins, as current sequencers write them, and how often each one occurs. A base
# is wrong with the probability that its quality states: about 0.5 % of all bases.
QUALITY_WEIGHTS = {37: 0.92, 23: 0.05, 12: 0.025, 2: 0.005}

# No variant is planted so close to an end of the genome or of the large deletion that too few
# reads could span it, nor so close to another one that one read would always carry both.
END_DISTANCE = 300
DELETION_DISTANCE = 1000
SPACING = 100


@dataclass(frozen=True)
class Sample:
    """One isolate: how deeply it is sequenced, and its large deletion (0-based, half-open)."""

    name: str
    depth: float
    deletion: tuple[int, int] | None = None

    @property
    def callable(self) -> bool:
        """Whether the sample is sequenced deeply enough for variants to be called, by design."""
        return self.depth >= 30  # noqa: PLR2004  (the planned depths are 35 and 4)


# isolate3 has lost a stretch of the non-essential b2 region, as many laboratory strains of lambda
# have; isolate4 is a failed library. The pipeline's checkpoint must react to both.
DELETION = (22_137, 28_013)
SAMPLES = (
    Sample("isolate1", depth=35),
    Sample("isolate2", depth=35),
    Sample("isolate3", depth=35, deletion=DELETION),
    Sample("isolate4", depth=4),
)
# Which samples carry a group of variants, and how many SNVs, insertions and deletions it has.
GROUPS: tuple[tuple[tuple[str, ...], tuple[int, int, int]], ...] = (
    (("isolate1", "isolate2", "isolate3", "isolate4"), (4, 1, 1)),
    (("isolate1", "isolate2"), (3, 1, 0)),
    (("isolate1",), (5, 1, 2)),
    (("isolate2",), (6, 2, 1)),
    (("isolate3",), (4, 2, 2)),
    (("isolate4",), (3, 0, 1)),
)


@dataclass(frozen=True, order=True)
class Variant:
    """A difference from the reference, as in VCF: 1-based position, indels anchored on the left."""

    pos: int
    ref: str
    alt: str

    @property
    def kind(self) -> str:
        """SNV, insertion or deletion."""
        if len(self.ref) == len(self.alt):
            return "snv"
        return "insertion" if len(self.alt) > len(self.ref) else "deletion"


def read_genome(path: Path) -> str:
    """Return the sequence of a FASTA file that holds one record."""
    with gzip.open(path, "rt") as handle:
        return "".join(line.strip() for line in handle if not line.startswith(">")).upper()


def propose(rng: random.Random, genome: str, kind: str) -> Variant | None:
    """Draw a variant, or None if the one drawn could be written further left as well.

    Repeats give an indel several equal notations; only the leftmost one is its normal form.
    """
    start = rng.randrange(END_DISTANCE, len(genome) - END_DISTANCE)
    anchor = genome[start]
    if kind == "snv":
        return Variant(start + 1, anchor, rng.choice(BASES.replace(anchor, "")))
    length = rng.randint(1, 6)
    if kind == "insertion":
        changed = "".join(rng.choices(BASES, k=length))
        variant = Variant(start + 1, anchor, anchor + changed)
    else:
        changed = genome[start + 1 : start + 1 + length]
        variant = Variant(start + 1, anchor + changed, anchor)
    return None if changed[-1] == anchor else variant


def far_from_deletion(variant: Variant) -> bool:
    """Whether reads around the variant are free of the large deletion's junction."""
    start, end = DELETION
    return not start - DELETION_DISTANCE < variant.pos < end + DELETION_DISTANCE


def plant(rng: random.Random, genome: str) -> dict[str, list[Variant]]:
    """Draw the variants of every sample."""
    planted: dict[str, list[Variant]] = {sample.name: [] for sample in SAMPLES}
    taken: list[int] = []
    with_deletion = {sample.name for sample in SAMPLES if sample.deletion}
    for members, counts in GROUPS:
        for kind, count in zip(("snv", "insertion", "deletion"), counts, strict=True):
            accepted = 0
            while accepted < count:
                variant = propose(rng, genome, kind)
                if variant is None or any(abs(variant.pos - pos) < SPACING for pos in taken):
                    continue
                if with_deletion & set(members) and not far_from_deletion(variant):
                    continue
                taken.append(variant.pos)
                accepted += 1
                for member in members:
                    planted[member].append(variant)
    return {name: sorted(variants) for name, variants in planted.items()}


def mutate(genome: str, variants: Iterable[Variant], deletion: tuple[int, int] | None) -> str:
    """Return the genome with the variants put in, from right to left so that positions hold."""
    edits = [(v.pos - 1, v.pos - 1 + len(v.ref), v.alt) for v in variants]
    if deletion:
        edits.append((*deletion, ""))
    for start, end, replacement in sorted(edits, reverse=True):
        genome = genome[:start] + replacement + genome[end:]
    return genome


def sequence_read(rng: random.Random, fragment: str) -> tuple[str, str]:
    """Return bases and qualities of one read of the fragment, errors included."""
    bins = list(QUALITY_WEIGHTS)
    qualities = rng.choices(bins, weights=list(QUALITY_WEIGHTS.values()), k=len(fragment))
    bases = list(fragment)
    for index, quality in enumerate(qualities):
        if rng.random() < 10 ** (-quality / 10):
            bases[index] = rng.choice(BASES.replace(bases[index], ""))
    return "".join(bases), "".join(chr(quality + 33) for quality in qualities)


def simulate_reads(rng: random.Random, genome: str, sample: Sample) -> str:
    """Return single-end reads of both strands as FASTQ."""
    records = []
    for number in range(round(sample.depth * len(genome) / READ_LENGTH)):
        start = rng.randrange(len(genome) - READ_LENGTH + 1)
        fragment = genome[start : start + READ_LENGTH]
        if rng.random() < 0.5:  # noqa: PLR2004  (a fair coin)
            fragment = fragment.translate(COMPLEMENT)[::-1]
        bases, qualities = sequence_read(rng, fragment)
        records.append(f"@{sample.name}.{number + 1}\n{bases}\n+\n{qualities}\n")
    return "".join(records)


def truth_rows(sample: Sample, variants: Sequence[Variant], genome: str) -> list[tuple[str, ...]]:
    """Return the sample's lines of the truth table."""
    verdict = ("yes", ".") if sample.callable else ("no", "low_coverage")
    rows = [(v.pos, v.ref, v.alt, v.kind, *verdict) for v in variants]
    if sample.deletion:
        start, end = sample.deletion
        alt = f"<DEL:{end - start}>"
        rows.append((start, genome[start - 1], alt, "deletion", "no", "longer_than_a_read"))
    return [(sample.name, *map(str, row)) for row in sorted(rows)]


def write_gzip(path: Path, text: str) -> None:
    """Compress without time stamp and file name, so that equal text gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as handle:
        handle.write(text.encode())
    path.write_bytes(buffer.getvalue())


def main() -> None:
    """Write `truth.tsv` and one FASTQ file per sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genome", type=Path, default=HERE / "lambda_virus.fa.gz")
    parser.add_argument("--output", type=Path, default=HERE, help="folder to write into")
    args = parser.parse_args()

    genome = read_genome(args.genome)
    planted = plant(random.Random(SEED), genome)
    (args.output / "reads").mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = [("sample", "pos", "ref", "alt", "type", "callable", "reason")]
    for sample in SAMPLES:
        variants = planted[sample.name]
        rows += truth_rows(sample, variants, genome)
        # A generator of its own: one sample's reads stay as they are when another one changes.
        rng = random.Random(f"{SEED} {sample.name}")
        reads = simulate_reads(rng, mutate(genome, variants, sample.deletion), sample)
        write_gzip(args.output / "reads" / f"{sample.name}.fastq.gz", reads)
    table = "".join("\t".join(row) + "\n" for row in rows)
    (args.output / "truth.tsv").write_text(table, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
