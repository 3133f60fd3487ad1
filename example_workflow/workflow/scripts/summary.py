"""Write a page with a table of the samples and a figure of their coverage and variants."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:  # Snakemake puts the real object in front of a script
    from snakemake.script import Snakemake, snakemake

WIDTH = 1000  # of a track of the figure, in units of the SVG drawing
HEIGHT = 80

Row = dict[str, str]


class Mark(NamedTuple):
    """A variant in the figure."""

    x: float
    kind: str
    label: str


def read_table(path: str) -> list[Row]:
    """Read tab-separated values."""
    with Path(path).open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def kind_of(variant: Row) -> str:
    """SNV, insertion or deletion."""
    change = len(variant["alt"]) - len(variant["ref"])
    if change == 0:
        return "snv"
    return "insertion" if change > 0 else "deletion"


def outline(windows: list[Row], length: int, deepest: float) -> str:
    """Return the points of a closed SVG polygon that shows depth along the genome."""
    points = [(0.0, float(HEIGHT))]
    for window in windows:
        y = HEIGHT * (1 - float(window["depth"]) / deepest)
        points += [(WIDTH * int(window[edge]) / length, y) for edge in ("start", "end")]
    points.append((float(WIDTH), float(HEIGHT)))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def describe(
    sample: Row, variants: list[Row], windows: list[Row], deepest: float
) -> dict[str, Any]:
    """Return what the page shows of one sample."""
    length = int(windows[-1]["end"])
    kinds = [kind_of(variant) for variant in variants]
    marks = [
        Mark(
            x=WIDTH * int(variant["pos"]) / length,
            kind=kind_of(variant),
            label=f"{variant['pos']} {variant['ref']}>{variant['alt']}",
        )
        for variant in variants
    ]
    counts = {kind: kinds.count(kind) for kind in ("snv", "insertion", "deletion")}
    return {**sample, **counts, "marks": marks, "outline": outline(windows, length, deepest)}


def main(snakemake: "Snakemake") -> None:
    """Fill the template."""
    variants = read_table(snakemake.input.variants)
    coverage = {Path(path).parent.name: read_table(path) for path in snakemake.input.coverage}
    deepest = max(float(window["depth"]) for windows in coverage.values() for window in windows)
    samples = [
        describe(
            sample,
            [variant for variant in variants if variant["sample"] == sample["sample"]],
            coverage[sample["sample"]],
            deepest,
        )
        for sample in read_table(snakemake.input.samples)
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(Path(snakemake.input.template).read_text())
    page = template.render(
        samples=samples,
        threshold=HEIGHT * (1 - snakemake.params.min_window_depth / deepest),
        deepest=deepest,
        length=int(next(iter(coverage.values()))[-1]["end"]),
        width=WIDTH,
        height=HEIGHT,
    )
    Path(snakemake.output[0]).write_text(page)


# Left open on purpose: a traceback is written last of all, and belongs into the rule's log.
sys.stderr = Path(snakemake.log[0]).open("w", buffering=1)  # noqa: SIM115
main(snakemake)
