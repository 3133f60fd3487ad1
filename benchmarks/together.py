"""Ten runs at once with one token in one project: is any request refused for its rate?

python -m benchmarks.together              # about 20 minutes
python -m benchmarks.together --runs 3 --jobs 20   # about 2 minutes
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from . import harness
from .harness import Simulation


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=100, help="of each run")
    parser.add_argument("--task-seconds", type=float, default=30)
    options = parser.parse_args()

    def run(number: int) -> harness.Usage:
        own = ("--default-storage-prefix", f"cavatica://{server.project}/run{number}")
        return harness.run_plugin(server, harness.independent(options.jobs), *own)

    with (
        harness.serve(Simulation(options.task_seconds, instances=1000)) as server,
        ThreadPoolExecutor(options.runs) as threads,
    ):
        usages = list(threads.map(run, range(options.runs)))
        statuses = [request["status"] for request in server.requests()]
    print(harness.machine())
    figures: dict[str, object] = {
        "runs": options.runs,
        "jobs": options.runs * options.jobs,
        "requests": len(statuses),
        "refused (429)": statuses.count(429),
        "seconds, first and last": f"{min(one.wall for one in usages):.0f}, "
        f"{max(one.wall for one in usages):.0f}",
    }
    print(harness.table([list(figures), list(figures.values())]))


if __name__ == "__main__":
    main()
