"""Seconds to submit 500 single tasks, beside one after another with the provider's client.

    python -m benchmarks.submission            # about 4 minutes
    python -m benchmarks.submission --jobs 50 --repeat 1    # about half a minute

From the first request that creates a task to the answer to the last one that starts one, by the
platform's own log. 100 ms latency and no rate limit.
"""

from __future__ import annotations

import argparse

from . import harness
from .harness import Server, Simulation, median


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    jobs = options.jobs
    simulation = Simulation(5, instances=jobs, rate_limit="off", latency=options.latency)
    ours, theirs = [], []
    for _ in range(options.repeat):
        with harness.serve(simulation) as server:
            harness.run_plugin(server, harness.independent(jobs))
            ours.append(_seconds(server, jobs))
        with harness.serve(simulation) as server:
            harness.run_script(server, jobs, period=5)
            theirs.append(_seconds(server, jobs))
    print(harness.machine())
    print(
        harness.table(
            [
                ["how", f"seconds for {jobs} tasks", "times faster"],
                ["plain script, one after another", f"{median(theirs):.1f}", 1],
                ["plugin", f"{median(ours):.1f}", f"{median(theirs) / median(ours):.1f}"],
                [
                    "limit of one after another: 2 requests x latency",
                    2 * jobs * options.latency,
                    "",
                ],
            ]
        )
    )


def _seconds(server: Server, jobs: int) -> float:
    """Between the first creation of a task and the last start of one."""
    posts = [one for one in server.requests() if one["method"] == "POST"]
    created = [one["time"] for one in posts if one["path"].partition("?")[0] == "/v2/tasks"]
    started = [one["time"] for one in posts if one["path"].endswith("/actions/run")]
    if len(started) != jobs:
        raise harness.Unfit(f"{len(started)} tasks were started, not {jobs}")
    return float(max(started) - min(created))


if __name__ == "__main__":
    main()
