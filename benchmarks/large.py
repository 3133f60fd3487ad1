"""50,000 jobs in batches and in packs, to the end: is anything lost, or refused for its rate?

    python -m benchmarks.large                 # about an hour
    python -m benchmarks.large --jobs 1000 --modes batch    # about 2 minutes

Beside the seconds stand those that the instances allow at least, and those that the rate limit
allows for as many requests as were made. With its default options Snakemake hands out at most 100
jobs a second and solves a linear program for each portion, which takes longer than both; so the
runs have the greedy scheduler, which looks at 1,000 jobs at a time, since all together take it
hours (`--scheduler default` for Snakemake's defaults). They end before the rule that names all
50,000 results as its inputs: Snakemake compares each of these with all others, for minutes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path

from . import calls, harness
from .harness import Simulation

_SCHEDULERS = {
    "default": (),
    "greedy": (
        *("--scheduler", "greedy", "--scheduler-subsample", "1000"),
        *("--max-jobs-per-timespan", "10000/1s"),
    ),
}
_UNTIL = ("--until", "job")


def run(mode: str, jobs: int, simulation: Simulation, scheduler: str) -> dict[str, object]:
    """The figures of a run to the end, and whether another one finds nothing to do."""
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as root:
        harness.seed(Path(root), jobs)
        with harness.serve(simulation, Path(root)) as server:
            options = (*calls.MODES[mode], *_SCHEDULERS[scheduler], *_UNTIL)
            usage = harness.run_plugin(server, harness.with_inputs(jobs), *options)
            statuses = [request["status"] for request in server.requests()]
        with harness.serve(Simulation(rate_limit="off"), Path(root)) as server:
            again = harness.run_plugin(server, harness.with_inputs(jobs), *_UNTIL)
    is_done = any("Nothing to be done" in line for _, line in again.lines)
    return {
        "how": mode,
        "jobs": jobs,
        "requests a job": f"{len(statuses) / jobs:.3f}",
        "refused (429)": statuses.count(429),
        "seconds": f"{usage.wall:.0f}",
        "instances allow": f"{_rounds(mode, jobs, simulation):.0f}",
        "rate limit allows": f"{simulation.waiting(len(statuses)):.0f}",
        "CPU ms a job": f"{1000 * usage.cpu / jobs:.2f}",
        "memory MB": f"{usage.memory:.0f}",
        "nothing left for a second run": "yes" if is_done else "NO",
    }


def _rounds(mode: str, jobs: int, simulation: Simulation) -> float:
    tasks = math.ceil(jobs / calls.PACKED) if mode == "pack" else jobs
    return math.ceil(tasks / simulation.instances) * simulation.task_seconds


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--task-seconds", type=float, default=5)
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--modes", nargs="*", choices=["batch", "pack"], default=["batch", "pack"])
    parser.add_argument("--scheduler", choices=list(_SCHEDULERS), default="greedy")
    options = parser.parse_args()
    simulation = Simulation(options.task_seconds, options.instances)
    found = []
    for mode in options.modes:
        seconds = options.task_seconds * calls.rounds(mode)
        own = replace(simulation, task_seconds=seconds)
        found.append(run(mode, options.jobs, own, options.scheduler))
    print(harness.machine())
    print(harness.table([list(found[0]), *(list(one.values()) for one in found)]))


if __name__ == "__main__":
    main()
