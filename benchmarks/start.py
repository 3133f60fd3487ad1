"""What it costs users of Snakemake that the plugin is installed, whatever they run.

    python -m benchmarks.start                 # 21 pairs, about a minute
    python -m benchmarks.start --snakemake 9.23.1 --pairs 11

Two environments that differ in the plugin alone, each made with `pip`; in each pair
`snakemake --version` is started in both, in turn first in the one and in the other. The difference
is that of the members of a pair, so that a machine that gets slower meanwhile does not matter.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import harness
from .harness import ROOT, median


@dataclass(frozen=True)
class Start:
    """What one start took, in milliseconds."""

    wall: float
    cpu: float


def environment(folder: Path, *packages: str) -> Path:
    """A new environment with these packages; its `snakemake`."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", *packages], check=True)
    return folder / "bin/snakemake"


def start(snakemake: Path) -> Start:
    """Start it once."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([snakemake, "--version"], check=True, stdout=subprocess.DEVNULL)
    ended, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start((ended - began) * 1000, cpu * 1000)


def pairs(without: Path, having: Path, count: int) -> list[tuple[Start, Start]]:
    """Starts without and with the plugin, after one of each that fills the caches."""
    start(without), start(having)
    found = []
    for number in range(count):
        if number % 2:
            second = start(having)
            found.append((start(without), second))
        else:
            found.append((start(without), start(having)))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--snakemake", default="9.27.1", help="version of Snakemake")
    parser.add_argument("--pairs", type=int, default=21)
    options = parser.parse_args()
    snakemake = f"snakemake=={options.snakemake}"
    with tempfile.TemporaryDirectory() as scratch:
        without = environment(Path(scratch, "without"), snakemake)
        having = environment(Path(scratch, "with"), snakemake, str(ROOT))
        measured = pairs(without, having, options.pairs)
    print(harness.machine())
    rows: list[list[object]] = [["median, ms", "without", "with", "difference of pairs"]]
    for name in ("wall", "cpu"):
        couples = [(getattr(one, name), getattr(other, name)) for one, other in measured]
        rows.append(
            [
                name,
                f"{median([one for one, _ in couples]):.0f}",
                f"{median([other for _, other in couples]):.0f}",
                f"{median([other - one for one, other in couples]):.0f}",
            ]
        )
    print(harness.table(rows))


if __name__ == "__main__":
    main()
