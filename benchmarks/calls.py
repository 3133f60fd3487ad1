"""Requests a job, everything included, beside a plain script with the provider's client.

    python -m benchmarks.calls                 # about two hours
    python -m benchmarks.calls --jobs 100 --script-jobs 20 --task-seconds 5 --repeat 1

The plain script looks at each task every ten seconds, as often as Snakemake does by default. It is
given fewer jobs, since all would take it hours.
"""

from __future__ import annotations

import argparse
import collections
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import harness
from .harness import Simulation, Usage, median

Requests = list[dict[str, Any]]
_ID = re.compile(r"[0-9a-zA-Z_-]{20,}")
PACKED = 50
MODES: dict[str, tuple[str, ...]] = {
    "single": (),
    "batch": ("--cavatica-batch", "auto"),
    "pack": ("--cavatica-pack", str(PACKED)),
    "transfer": (),
    "transfer-pack": ("--cavatica-pack", str(PACKED)),
}
LANES = 8
"""Jobs of a pack that run at a time."""


def rounds(mode: str) -> int:
    """How often as long as a job a task takes: a pack does its jobs some at a time."""
    return -(-PACKED // LANES) if mode.endswith("pack") else 1


def run(mode: str, jobs: int, simulation: Simulation) -> tuple[Usage, Requests]:
    """A run: what it used, and its requests. Jobs of a batch need an input each, as do those of
    transfer mode, whose files are on this machine; others none.
    """
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as root:
        snakefile = harness.independent(jobs)
        if mode == "batch":
            harness.seed(Path(root), jobs)
            snakefile = harness.with_inputs(jobs)
        with harness.serve(simulation, Path(root)) as server:
            if mode.startswith("transfer"):
                usage = harness.run_transfer(server, jobs, *MODES[mode])
            else:
                usage = harness.run_plugin(server, snakefile, *MODES[mode])
            return usage, server.requests()


def main() -> None:
    """Print a table of requests a job and wall time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--script-jobs", type=int, default=50)
    parser.add_argument("--task-seconds", type=float, default=60)
    parser.add_argument("--rate-limit", default="1000/300")
    parser.add_argument("--modes", nargs="*", choices=list(MODES), default=list(MODES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", action="store_true", help="count kinds of requests, too")
    options = parser.parse_args()
    rows: list[list[object]] = [["how", "jobs", "requests a job", "refused (429)", "seconds"]]
    for mode in options.modes:
        seconds = options.task_seconds * rounds(mode)
        simulation = Simulation(seconds, rate_limit=options.rate_limit)
        runs = [run(mode, options.jobs, simulation) for _ in range(options.repeat)]
        rows.append(_row(f"plugin, {mode}", options.jobs, runs))
        if options.kinds:
            print(mode, *_kinds(runs[-1][1]), sep="\n  ", flush=True)
    if options.script_jobs:
        simulation = Simulation(options.task_seconds, rate_limit=options.rate_limit)
        with harness.serve(simulation) as server:
            usage = harness.run_script(server, options.script_jobs, period=10)
            rows.append(_row("plain script", options.script_jobs, [(usage, server.requests())]))
    print(harness.machine())
    print(harness.table(rows))


def _row(how: str, jobs: int, runs: Sequence[tuple[Usage, Requests]]) -> list[object]:
    a_job = median([len(requests) / jobs for _, requests in runs])
    refused = sum(request["status"] == 429 for _, requests in runs for request in requests)
    return [how, jobs, f"{a_job:.3f}", refused, f"{median([usage.wall for usage, _ in runs]):.0f}"]


def _kinds(requests: Requests) -> list[str]:
    """How many requests of each kind, ids left out."""
    kinds = collections.Counter(
        f"{request['method']} {_ID.sub('ID', request['path'].partition('?')[0])}"
        for request in requests
    )
    return [f"{number} {kind}" for kind, number in kinds.most_common()]


if __name__ == "__main__":
    main()
