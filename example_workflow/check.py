"""Compare the variants that the workflow found with those that were planted.

Prints one line per sample. Exits with 0 only if every planted variant that the sequencing allows
to call was found, and nothing else was called. Needs only the Python standard library.
"""

import argparse
import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

Variant = tuple[int, str, str]


def read_table(path: Path) -> list[dict[str, str]]:
    """Read tab-separated values."""
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def variants_of(rows: list[dict[str, str]], sample: str) -> list[Variant]:
    """Return the sample's variants as position, reference and alternative, repeats included."""
    mine = [row for row in rows if row["sample"] == sample]
    return sorted((int(row["pos"]), row["ref"], row["alt"]) for row in mine)


def show(title: str, sample: str, variants: set[Variant]) -> None:
    """Name the variants that differ."""
    for pos, ref, alt in sorted(variants):
        print(f"  {title}: {sample} {pos} {ref}>{alt}")


def check_sample(sample: str, expected: list[Variant], called: list[Variant]) -> bool:
    """Report on one sample and return whether all is as planted."""
    missed, false = set(expected) - set(called), set(called) - set(expected)
    repeated = len(called) - len(set(called))
    found = len(expected) - len(missed)
    print(f"{sample}\t{len(expected)}\t{found}\t{len(missed)}\t{len(false) + repeated}")
    show("missed", sample, missed)
    show("false", sample, false)
    return not missed and not false and not repeated


def main() -> int:
    """Check all samples that occur in either table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, default=HERE / "data" / "truth.tsv")
    parser.add_argument("--found", type=Path, default=HERE / "results" / "variants.tsv")
    args = parser.parse_args()

    truth, found = read_table(args.truth), read_table(args.found)
    callable_truth = [row for row in truth if row["callable"] == "yes"]
    print("sample\texpected\tfound\tmissed\tfalse")
    verdicts = [
        check_sample(sample, variants_of(callable_truth, sample), variants_of(found, sample))
        for sample in sorted({row["sample"] for row in truth + found})
    ]
    print("OK" if all(verdicts) else "the calls differ from what was planted")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
