"""Workflows as people write them, by the local executor and by ours: `python -m tests.field`.

Each scenario of `scenarios/` runs twice in each place, and what it leaves is compared file by
file. docs/field.md says where each was seen. The exit status is 1 if anything is unexpected.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tests.field.judge import unexpected
from tests.field.runs import CORES, play
from tests.field.scenarios import OURS, PLACES, Place, names, scenario
from tests.workflow.workflow_runs import Platform


@dataclass
class Verdict:
    """What is unexpected of one scenario, by place."""

    name: str
    troubles: dict[Place, list[str]] = field(default_factory=dict)
    left_out: dict[Place, str] = field(default_factory=dict)
    seconds: dict[Place, float] = field(default_factory=dict)

    @property
    def as_expected(self) -> bool:
        """Whether all went as the scenario says."""
        return not any(self.troubles.values())

    @property
    def text(self) -> str:
        """Everything that was unexpected."""
        lines = [
            f"{self.name}, {place}: {trouble}"
            for place, troubles in self.troubles.items()
            for trouble in troubles
        ]
        return "\n".join(lines)


def examine(name: str, places: Sequence[Place], platform: Platform, directory: Path) -> Verdict:
    """Run a scenario by the local executor, and in these places by ours."""
    chosen, verdict = scenario(name), Verdict(name)
    if lacking := chosen.lacking:
        verdict.left_out = dict.fromkeys(PLACES, f"needs {lacking}")
        return verdict
    local = play(chosen, "local", platform, directory)
    for place in ("local", *places):
        if why := chosen.left_out.get(place):
            verdict.left_out[place] = why
            continue
        outcome = local if place == "local" else play(chosen, place, platform, directory)
        verdict.seconds[place] = outcome.seconds
        verdict.troubles[place] = unexpected(chosen, place, outcome, local)
    return verdict


def main(arguments: list[str]) -> int:
    """Run the scenarios and print a table."""
    options = _parser().parse_args(arguments)
    wanted = options.names or names()
    if unknown := set(wanted) - set(names()):
        print(f"There is no scenario {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    root = Path(tempfile.mkdtemp(prefix="field-"))
    platform = Platform.start(root / "platform", "--host-cores", str(CORES))
    began = time.monotonic()
    try:
        verdicts = _examine_all(wanted, options, platform, root)
    finally:
        platform.stop()
        if options.keep:
            print(f"The directories of the runs are in {root}.")
        else:
            shutil.rmtree(root, ignore_errors=True)
    _tell(verdicts, options.places, time.monotonic() - began)
    return 0 if all(verdict.as_expected for verdict in verdicts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.field", description="Workflows of the field, by both executors."
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="scenarios; default: all")
    add("--places", type=_places, default=OURS, help="default: transfer,storage")
    add("-j", dest="workers", type=int, default=2, help="scenarios at a time")
    add("--keep", action="store_true", help="leave the directories of the runs")
    return parser


def _places(text: str) -> list[Place]:
    chosen = [place for place in OURS if place in text.split(",")]
    if len(chosen) != len(text.split(",")):
        raise argparse.ArgumentTypeError(f"{text} is no list of {', '.join(OURS)}")
    return chosen


def _examine_all(
    wanted: Sequence[str], options: argparse.Namespace, platform: Platform, root: Path
) -> list[Verdict]:
    verdicts = []
    with ThreadPoolExecutor(options.workers) as pool:
        futures = [
            pool.submit(examine, name, options.places, platform, root / name) for name in wanted
        ]
        for future in as_completed(futures):
            verdicts.append(future.result())
            if not verdicts[-1].as_expected:
                print(f"\n{verdicts[-1].text}", flush=True)
    return sorted(verdicts, key=lambda one: one.name)


def _tell(verdicts: Sequence[Verdict], places: Sequence[Place], seconds: float) -> None:
    columns: list[Place] = ["local", *places]
    width = max(len(one.name) for one in verdicts) + 2
    print(f"\n{'':{width}}{''.join(f'{place:>16}' for place in columns)}")
    for verdict in verdicts:
        cells = "".join(f"{_cell(verdict, place):>16}" for place in columns)
        print(f"{verdict.name:{width}}{cells}")
    for verdict in verdicts:
        for why in dict.fromkeys(verdict.left_out.values()):
            print(f"{verdict.name}, left out: {why}")
    bad = sum(not verdict.as_expected for verdict in verdicts)
    print(f"\n{len(verdicts)} scenarios in {seconds:.0f} s, {bad} not as expected")


def _cell(verdict: Verdict, place: Place) -> str:
    if place in verdict.left_out:
        return "left out"
    word = "UNEXPECTED" if verdict.troubles[place] else "ok"
    return f"{word} {verdict.seconds[place]:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
