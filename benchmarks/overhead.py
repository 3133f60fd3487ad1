"""CPU seconds and memory of the main process a job, beside the floor of Snakemake's own overhead.

    python -m benchmarks.overhead              # about an hour
    python -m benchmarks.overhead --jobs 300 --repeat 1    # about 3 minutes

The floor is an executor that makes the outputs itself and reports success, on local files. The
plugin does the same workflow with its files on the platform. Runs of both alternate.

With its default options Snakemake starts at most 100 jobs a second, and solves a linear program for
each of these portions, which is most of what it needs by itself. So the same is measured without
that: with the greedy scheduler and all jobs at once (`lean`), which shows more of the plugin.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from . import harness
from .harness import Simulation, Usage, median

MODES: dict[str, tuple[str, ...]] = {"single": (), "pack": ("--cavatica-pack", "50")}
SCHEDULERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "lean": ("--scheduler", "greedy", "--max-jobs-per-timespan", "100000/1s"),
}


def main() -> None:
    """Print a table for each number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--task-seconds", type=float, default=5)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--rate-limit", default="off")
    parser.add_argument("--modes", nargs="*", choices=list(MODES), default=list(MODES))
    parser.add_argument("--schedulers", nargs="*", choices=list(SCHEDULERS), default=["default"])
    options = parser.parse_args()
    simulation = Simulation(options.task_seconds, options.instances, options.rate_limit)
    headings = ["jobs", "scheduler", "how", "CPU ms a job", "beside the floor"]
    rows: list[list[object]] = [[*headings, "memory MB", "beside the floor"]]
    for scheduler in options.schedulers:
        for jobs in options.jobs:
            runs: dict[str, list[Usage]] = {}
            for _ in range(options.repeat):
                for how, usage in _runs(jobs, SCHEDULERS[scheduler], options.modes, simulation):
                    runs.setdefault(how, []).append(usage)
            floor = _medians(runs["floor"])
            for how, usages in runs.items():
                cpu, memory = _medians(usages)
                times = f"{1000 * cpu / jobs:.2f}", f"{cpu / floor[0]:.2f}"
                rows.append(
                    [jobs, scheduler, how, *times, f"{memory:.0f}", f"{memory / floor[1]:.2f}"]
                )
            print(harness.table(rows), flush=True)
    print(harness.machine())


def _runs(
    jobs: int, scheduler: Sequence[str], modes: Sequence[str], simulation: Simulation
) -> Iterator[tuple[str, Usage]]:
    yield "floor", harness.run_floor(harness.independent(jobs), *scheduler)
    for mode in modes:
        with harness.serve(simulation) as server:
            workflow = harness.independent(jobs)
            usage = harness.run_plugin(server, workflow, *MODES[mode], *scheduler)
        yield f"plugin, {mode}", usage


def _medians(usages: Sequence[Usage]) -> tuple[float, float]:
    return median([one.cpu for one in usages]), median([one.memory for one in usages])


if __name__ == "__main__":
    main()
