"""CPU seconds and memory of the main process a job, beside the floor of Snakemake's own overhead.

    python -m benchmarks.overhead              # about 25 minutes
    python -m benchmarks.overhead --jobs 300 --repeat 1    # about 2 minutes

The floor is an executor that makes the outputs itself and reports success, on local files. The
plugin does the same workflow with its files on the platform. CPU seconds are robust against what
else the machine does; runs of both alternate nevertheless.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import harness
from .harness import Simulation, Usage, median

MODES: dict[str, tuple[str, ...]] = {"single": (), "pack": ("--cavatica-pack", "50")}


def main() -> None:
    """Print a table for each number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--task-seconds", type=float, default=5)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--rate-limit", default="off")
    parser.add_argument("--modes", nargs="*", choices=list(MODES), default=list(MODES))
    options = parser.parse_args()
    simulation = Simulation(options.task_seconds, options.instances, options.rate_limit)
    rows: list[list[object]] = [
        ["jobs", "how", "CPU ms a job", "beside the floor", "memory MB", "beside the floor"]
    ]
    for jobs in options.jobs:
        runs: dict[str, list[Usage]] = {}
        for _ in range(options.repeat):
            runs.setdefault("floor", []).append(harness.run_floor(harness.independent(jobs)))
            for mode in options.modes:
                with harness.serve(simulation) as server:
                    usage = harness.run_plugin(server, harness.independent(jobs), *MODES[mode])
                runs.setdefault(f"plugin, {mode}", []).append(usage)
        floor = _medians(runs["floor"])
        for how, usages in runs.items():
            cpu, memory = _medians(usages)
            rows.append(
                [
                    jobs,
                    how,
                    f"{1000 * cpu / jobs:.2f}",
                    f"{cpu / floor[0]:.2f}",
                    f"{memory:.0f}",
                    f"{memory / floor[1]:.2f}",
                ]
            )
        print(harness.table(rows), flush=True)
    print(harness.machine())


def _medians(usages: Sequence[Usage]) -> tuple[float, float]:
    return median([one.cpu for one in usages]), median([one.memory for one in usages])


if __name__ == "__main__":
    main()
