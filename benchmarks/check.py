"""What `snakemake-cavatica check` takes, beside a dry run, and whether its estimates are right.

    python -m benchmarks.check                  # about ten minutes
    python -m benchmarks.check --workflows 3    # about two

First a correct workflow of 30 rules and 3,000 jobs. Then random workflows on a platform that
charges for simulated tasks, each run twice: what the second run costs is compared with the range
that was told before it. Tasks differ in length by chance, some fail and are repeated, and some lose
their spot instance.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import harness
from .harness import Server, Simulation

RULES, JOBS = 30, 100
_HOUR = "1"
"""Seconds of a task that cost what an hour does."""


@dataclass(frozen=True)
class Effort:
    """What a check took."""

    dry_run: float
    """Seconds of Snakemake's own, for comparison."""
    check: float
    requests: int


@dataclass(frozen=True)
class Estimated:
    """What was told before a run, and what it then cost."""

    low: float
    high: float
    cost: float

    @property
    def is_right(self) -> bool:
        """Whether the cost lies in the range."""
        return self.low <= self.cost <= self.high

    @property
    def width(self) -> float:
        """The upper end by the lower one."""
        return self.high / self.low if self.low else float("inf")


def chain(rules: int, jobs: int) -> str:
    """A workflow of rules that need one another, with so many jobs each."""
    text = [f"rule all:\n    input: expand('r{rules - 1}/{{x}}', x=range({jobs}))"]
    for number in range(rules):
        needed = f"'r{number - 1}/{{x}}'" if number else "'in/{x}'"
        text.append(
            f"rule r{number}:\n    input: {needed}\n    output: 'r{number}/{{x}}'\n"
            "    threads: 2\n    resources: mem_mb=4000, runtime=10\n"
            "    shell: 'cp {input} {output}'"
        )
    return "\n".join([*text, ""])


def effort(rules: int = RULES, jobs: int = JOBS) -> Effort:
    """Check a correct workflow, files on this machine."""
    simulation = Simulation(0, rate_limit="off")
    with harness.serve(simulation) as server, harness.workflow(chain(rules, jobs)) as directory:
        (directory / "in").mkdir()
        for number in range(jobs):
            (directory / "in" / str(number)).write_text("x")
        began = time.monotonic()
        _call(_snakemake(server, "--dry-run", "--quiet", "rules"), directory, server)
        dry_run = time.monotonic() - began
        before = len(server.requests())
        began = time.monotonic()
        found = check(server, directory)
        seconds = time.monotonic() - began
        if found["problems"] or len(found["rules"]) != rules:
            raise harness.Unfit(f"the check has found {found['findings']}")
        return Effort(dry_run, seconds, len(server.requests()) - before)


def check(server: Server, directory: Path, *arguments: str) -> dict[str, Any]:
    """What a check has found."""
    command = [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", "check"]
    words = [*command, "--json", "--", *_arguments(server), *arguments]
    document: dict[str, Any] = json.loads(_call(words, directory, server))
    return document


def _call(words: Sequence[str], directory: Path, server: Server) -> str:
    done = subprocess.run(
        words,
        cwd=directory,
        env={**os.environ, **server.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise harness.Unfit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _arguments(server: Server) -> list[str]:
    return ["--executor", "cavatica", "--cavatica-project", server.project, "--jobs", "100"]


def _snakemake(server: Server, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *_arguments(server), *arguments]


# ------------------------------------------------------------------------------- estimates


def random_workflow(seed: int) -> tuple[str, list[dict[str, Any]]]:
    """A Snakefile, and how its tasks behave."""
    dice = random.Random(seed)
    targets, text, behaviours = [], [], []
    for number in range(dice.randint(2, 6)):
        jobs, cores = dice.randint(1, 12), dice.choice([1, 1, 2, 4])
        least = dice.uniform(0.5, 2.0)
        targets.append(f"expand('r{number}/{{x}}', x=range({jobs}))")
        text.append(
            f"rule r{number}:\n    output: 'r{number}/{{x}}'\n    threads: {cores}\n"
            f"    resources: mem_mb={dice.choice([1000, 4000, 16000])}\n"
            "    shell: 'touch {output}'"
        )
        behaviours.append(
            {
                "task": f"^r{number} ",
                "seconds": f"{least:.3f}-{least * dice.uniform(1.0, 2.5):.3f}",
                "fails": dice.choice([0, 0, 0.05]),
                "spot_loss": dice.choice([0, 0.05]),
            }
        )
    return "\n".join([f"rule all:\n    input: {', '.join(targets)}", *text, ""]), behaviours


def estimated(seed: int) -> Estimated:
    """Run a random workflow, have it estimated, and run it again."""
    snakefile, behaviours = random_workflow(seed)
    simulation = Simulation(1, rate_limit="off", latency=0)
    with harness.workflow(snakefile) as directory:
        file = directory.with_name(f"{directory.name}.json")
        file.write_text(json.dumps(behaviours))
        more = ["--simulation", str(file), "--price-hour", _HOUR, "--fault-seed", str(seed)]
        try:
            with harness.serve(simulation, more=more) as server:
                run = _snakemake(server, "--retries", "5", "--forceall")
                _call(run, directory, server)
                before = _charged(server)
                told = check(server, directory, "--forceall")["estimate"]
                if told["unknown"]:
                    raise harness.Unfit(f"nothing is known of {told['unknown']}")
                _call(run, directory, server)
                return Estimated(told["low"], told["high"], _charged(server) - before)
        finally:
            file.unlink()


def _charged(server: Server) -> float:
    """What all tasks have cost, with six decimals."""
    group = server.get(f"/projects/{server.project}")["billing_group"]
    amount, offset = 0.0, 0
    while True:
        path = f"/billing/groups/{group}/breakdown/analysis?limit=100&offset={offset}"
        items = server.get(path)["items"]
        amount += sum(float(one["analysis_cost"]["amount"]) for one in items)
        offset += len(items)
        if not items:
            return amount


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workflows", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(harness.machine())
    rows: list[list[object]] = [["seconds of a dry run", "seconds of a check", "requests"]]
    for _ in range(options.repeat):
        took = effort()
        rows.append([f"{took.dry_run:.1f}", f"{took.check:.1f}", took.requests])
    print(harness.table(rows), flush=True)
    rows, found = [["seed", "told", "cost", "in the range", "width"]], []
    for seed in range(options.first_seed, options.first_seed + options.workflows):
        one = estimated(seed)
        found.append(one)
        told = f"{one.low:.2f} to {one.high:.2f}"
        rows.append([seed, told, f"{one.cost:.2f}", one.is_right, f"{one.width:.2f}"])
    print(harness.table(rows))
    right = sum(one.is_right for one in found)
    width = statistics.median(one.width for one in found)
    print(f"{right} of {len(found)} in the range; it is {width:.2f} times wide in the median")


if __name__ == "__main__":
    main()
