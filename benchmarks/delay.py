"""Seconds from a task's end on the platform to its job's report, with up to 100 live tasks.

    python -m benchmarks.delay                 # about 12 minutes
    python -m benchmarks.delay --jobs 50 --task-seconds 5-10 --repeat 1    # about half a minute

A job is reported when Snakemake prints that it has finished.
"""

from __future__ import annotations

import argparse
import re
from datetime import datetime

from . import harness
from .harness import Server, Simulation, Usage, median

_TASK = re.compile(r"Job (\d+) \(.*\) is task \S*/tasks/(\S+)")
_FINISHED = re.compile(r"Finished jobid: (\d+) ")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--task-seconds", default="30-90")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    delays = []
    for _ in range(options.repeat):
        with harness.serve(Simulation(options.task_seconds, instances=options.live)) as server:
            usage = harness.run_plugin(server, harness.independent(options.jobs), jobs=options.live)
            delays += _delays(server, usage)
    jobs = options.repeat * options.jobs
    if len(delays) != jobs:
        raise harness.Unfit(f"{len(delays)} jobs were reported, not {jobs}")
    print(harness.machine())
    print(
        harness.table(
            [
                ["jobs", "live tasks", "median delay (s)", "longest (s)"],
                [jobs, options.live, f"{median(delays):.1f}", f"{max(delays):.1f}"],
            ]
        )
    )


def _delays(server: Server, usage: Usage) -> list[float]:
    tasks: dict[str, str] = {}
    reported: dict[str, float] = {}
    for moment, line in usage.lines:
        if found := _TASK.search(line):
            tasks[found[1]] = found[2]
        elif found := _FINISHED.search(line):
            reported[found[1]] = moment
    ends = {task: _end(server, task) for task in tasks.values()}
    return [moment - ends[tasks[job]] for job, moment in reported.items() if job in tasks]


def _end(server: Server, task: str) -> float:
    """Seconds since the epoch."""
    moment: str = server.get(f"/tasks/{task}?fields=id,end_time")["end_time"]
    return datetime.fromisoformat(moment).timestamp()


if __name__ == "__main__":
    main()
