"""Until Snakemake knows what 50,000 jobs have to do: files on the platform, and local ones.

    python -m benchmarks.dag                   # about 5 minutes
    python -m benchmarks.dag --jobs 2000 --repeat 1

Each job has an input, which exists. A dry run is timed, so that no job is started.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from . import harness
from .harness import Simulation, median


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    snakefile = harness.with_inputs(options.jobs)
    local, stored = [], []
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as root:
        harness.seed(Path(root), options.jobs)
        for _ in range(options.repeat):
            with harness.workflow(snakefile) as directory:
                inputs = directory / "inputs"
                inputs.mkdir()
                for number in range(options.jobs):
                    (inputs / f"{number}.txt").touch()
                local.append(harness.run_floor_in(directory, "--dry-run"))
            with harness.serve(Simulation(), Path(root)) as server:
                stored.append(harness.run_plugin(server, snakefile, "--dry-run"))
                requests = len(server.requests())
    rows: list[list[object]] = [["files", "seconds", "CPU seconds", "MB", "requests"]]
    for where, usages, sent in (("local", local, 0), ("on the platform", stored, requests)):
        figures = [(one.wall, one.cpu, one.memory) for one in usages]
        rows.append(
            [where, *(f"{median(values):.1f}" for values in zip(*figures, strict=True)), sent]
        )
    print(harness.machine())
    print(harness.table(rows))


if __name__ == "__main__":
    main()
