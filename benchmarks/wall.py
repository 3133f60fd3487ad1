"""Wall time of 1,000 short jobs in batches, beside the least that arithmetic allows.

    python -m benchmarks.wall                  # about 10 minutes
    python -m benchmarks.wall --jobs 200 --repeat 1    # about 1 minute

The limit is the larger of what the instances and what the rate limit allow:

    max(ceil(jobs / instances) * job seconds, (requests - limit) / limit * window) + 2 * latency

where `requests` is 2 for each task that is started; a batch is one.
"""

from __future__ import annotations

import argparse
import math

from . import calls, harness
from .harness import Simulation, median


def limit(jobs: int, tasks: int, simulation: Simulation) -> float:
    """Seconds that no program can go below."""
    rounds = math.ceil(jobs / simulation.instances) * simulation.task_seconds
    return max(rounds, simulation.waiting(2 * tasks)) + 2 * simulation.latency


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--task-seconds", type=float, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    jobs, simulation = options.jobs, Simulation(options.task_seconds)
    walls = []
    for _ in range(options.repeat):
        usage, _ = calls.run("batch", jobs, simulation)
        walls.append(usage.wall)
    floor = harness.run_floor(harness.independent(jobs)).wall
    least = limit(jobs, 1, simulation)
    alone = limit(jobs, jobs, simulation)
    print(harness.machine())
    print(
        harness.table(
            [
                ["how", "seconds", "beside the limit"],
                ["limit", f"{least:.0f}", 1],
                ["plugin, batches", f"{median(walls):.0f}", f"{median(walls) / least:.2f}"],
                ["limit of one task a job", f"{alone:.0f}", f"{alone / least:.2f}"],
                ["Snakemake alone, without any task", f"{floor:.0f}", ""],
            ]
        )
    )


if __name__ == "__main__":
    main()
