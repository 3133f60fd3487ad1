"""Decide by coverage which samples go on, and with which regions of the genome."""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import NamedTuple


class Window(NamedTuple):
    """Mean depth of a stretch of the genome (0-based, half-open)."""

    start: int
    end: int
    depth: float


def read_windows(path: Path) -> list[Window]:
    """Read one sample's coverage."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return [Window(int(row["start"]), int(row["end"]), float(row["depth"])) for row in rows]


def mean_depth(windows: list[Window]) -> float:
    """Return the mean depth over the whole genome."""
    bases = sum(window.end - window.start for window in windows)
    return sum(window.depth * (window.end - window.start) for window in windows) / bases


def covered_regions(windows: list[Window], min_depth: float) -> list[tuple[int, int]]:
    """Join neighbouring windows that are deep enough."""
    regions: list[tuple[int, int]] = []
    for window in windows:
        if window.depth < min_depth:
            continue
        if regions and regions[-1][1] == window.start:
            regions[-1] = (regions[-1][0], window.end)
        else:
            regions.append((window.start, window.end))
    return regions


def split(start: int, end: int, longest: int) -> list[tuple[int, int]]:
    """Split a region into equal parts, none longer than allowed."""
    parts = math.ceil((end - start) / longest)
    cuts = [start + (end - start) * part // parts for part in range(parts + 1)]
    return [(cuts[part], cuts[part + 1]) for part in range(parts)]


def write_table(path: Path, rows: list[list[object]]) -> None:
    """Write tab-separated values, the first row being the header."""
    with path.open("w", newline="") as handle:
        csv.writer(handle, delimiter="\t", lineterminator="\n").writerows(rows)


def main() -> None:
    """Write the verdict on every sample, and the regions to call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--coverage", type=Path, nargs="+", required=True, help="SAMPLE/windows.tsv, one per sample"
    )
    parser.add_argument("--min-sample-depth", type=float, required=True)
    parser.add_argument("--min-window-depth", type=float, required=True)
    parser.add_argument("--max-region", type=int, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--regions", type=Path, required=True)
    args = parser.parse_args()

    samples: list[list[object]] = [["sample", "depth", "covered", "verdict"]]
    regions: list[list[object]] = [["sample", "start", "end"]]
    for path in args.coverage:
        sample, windows = path.parent.name, read_windows(path)
        depth = mean_depth(windows)
        covered = covered_regions(windows, args.min_window_depth)
        fraction = sum(end - start for start, end in covered) / windows[-1].end
        passed = depth >= args.min_sample_depth
        samples.append([sample, f"{depth:.1f}", f"{fraction:.3f}", "pass" if passed else "fail"])
        if passed:
            pieces = [piece for region in covered for piece in split(*region, args.max_region)]
            regions += [[sample, start, end] for start, end in pieces]
    write_table(args.samples, samples)
    write_table(args.regions, regions)


if __name__ == "__main__":
    main()
