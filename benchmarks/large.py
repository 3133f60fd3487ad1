"""10,000 jobs in batches, to the end: is anything lost, or refused for its rate?

python -m benchmarks.large                 # about 15 minutes
python -m benchmarks.large --jobs 1000     # about 2 minutes
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from . import calls, harness
from .harness import Simulation


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--task-seconds", type=float, default=5)
    options = parser.parse_args()
    jobs = options.jobs
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as root:
        harness.seed(Path(root), jobs)
        with harness.serve(Simulation(options.task_seconds), Path(root)) as server:
            usage = harness.run_plugin(server, harness.with_inputs(jobs), *calls.MODES["batch"])
            statuses = [request["status"] for request in server.requests()]
        with harness.serve(Simulation(rate_limit="off"), Path(root)) as server:
            again = harness.run_plugin(server, harness.with_inputs(jobs))
    is_done = any("Nothing to be done" in line for _, line in again.lines)
    print(harness.machine())
    figures: dict[str, object] = {
        "jobs": jobs,
        "requests a job": f"{len(statuses) / jobs:.2f}",
        "refused (429)": statuses.count(429),
        "seconds": f"{usage.wall:.0f}",
        "CPU ms a job": f"{1000 * usage.cpu / jobs:.2f}",
        "memory MB": f"{usage.memory:.0f}",
        "nothing left for a second run": "yes" if is_done else "NO",
    }
    print(harness.table([list(figures), list(figures.values())]))


if __name__ == "__main__":
    main()
