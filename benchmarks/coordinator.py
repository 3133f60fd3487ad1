"""Requests and CPU seconds of a main process that was submitted, beside one here.

    python -m benchmarks.coordinator                # about ten minutes
    python -m benchmarks.coordinator --jobs 50 --task-seconds 5 --repeat 1

The tasks are simulated, and so is the coordinator's. What would run in it is run here, as its task
would start it: by the bundle that was uploaded, with a copy of the token.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.api.download import download
from snakemake_executor_cavatica.coordinator.task import coordinators

from . import harness
from .harness import Server, Simulation, Usage, median

START = harness.ROOT / "snakemake_executor_cavatica" / "in_task" / "coordinator_start.py"
HOME = "local/snakemake-coordinator"
Measured = tuple[Usage, int]
"""What it used, and how many requests it made."""


def here(simulation: Simulation, jobs: int) -> Measured:
    """A main process on this machine."""
    with harness.serve(simulation) as server:
        usage = harness.run_plugin(server, harness.independent(jobs))
        return usage, len(server.requests())


def submitted(simulation: Simulation, jobs: int) -> tuple[Measured, Measured]:
    """The command that submits it, and the coordinator."""
    with harness.serve(simulation) as server:
        with harness.workflow(harness.independent(jobs)) as directory:
            words = [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", "submit"]
            usage = harness.measure(
                [*words, "--", *_arguments(server)], directory, server.environment()
            )
        before = len(server.requests())
        with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as name:
            folder = Path(name)
            _fetch_bundle(server, folder / "bundle")
            (folder / "token").write_text(server.token)
            fetched = len(server.requests())
            command = [sys.executable, str(START), "bundle", "token"]
            inside = harness.measure(command, folder, {})
        return (usage, before), (inside, len(server.requests()) - fetched)


def _arguments(server: Server) -> list[str]:
    prefix = f"cavatica://{server.project}/bench"
    words = ["--cavatica-project", server.project, "--default-storage-provider", "cavatica"]
    words += ["--default-storage-prefix", prefix, "--jobs", "100000", "--quiet", "rules"]
    return words


def _fetch_bundle(server: Server, target: Path) -> None:
    with Client(server.endpoint, Token(server.token)) as client:
        [one] = coordinators(client, HOME)
        inputs: dict[str, Any] = client.get_task(one.task.id).inputs
        download(client, inputs["bundle"]["path"], target)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--task-seconds", type=float, default=60)
    parser.add_argument("--rate-limit", default="1000/300")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    simulation = Simulation(options.task_seconds, rate_limit=options.rate_limit)
    local = [here(simulation, options.jobs) for _ in range(options.repeat)]
    remote = [submitted(simulation, options.jobs) for _ in range(options.repeat)]
    rows: list[list[object]] = [["what", "jobs", "requests", "CPU seconds", "seconds", "MB"]]
    rows.append(_row("main process here", options.jobs, local))
    rows.append(_row("the command `submit`", options.jobs, [first for first, _ in remote]))
    rows.append(_row("coordinator", options.jobs, [second for _, second in remote]))
    print(harness.machine())
    print(harness.table(rows))


def _row(what: str, jobs: int, runs: list[Measured]) -> list[object]:
    usages = [usage for usage, _ in runs]
    return [
        what,
        jobs,
        f"{median([requests for _, requests in runs]):.0f}",
        f"{median([usage.cpu for usage in usages]):.1f}",
        f"{median([usage.wall for usage in usages]):.0f}",
        f"{median([usage.memory for usage in usages]):.0f}",
    ]


if __name__ == "__main__":
    main()
