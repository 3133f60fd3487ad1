"""Requests for what Snakemake asks of a folder of 10,000 files, beside one request a file.

    python -m benchmarks.listing               # about 2 minutes
    python -m benchmarks.listing --files 500   # about half a minute

Existence, size and modification time of each file are asked three times.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from sevenbridges import Api

from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.project.index import ProjectIndex

from . import harness
from .harness import Server, Simulation


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args()
    files = options.files
    rows: list[list[object]] = [["how", "requests", "requests a file"]]
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as root:
        harness.seed(Path(root), files)
        with harness.serve(Simulation(rate_limit="off", latency=0), Path(root)) as server:
            names = [f"bench/inputs/{number}.txt" for number in range(files)]
            for how, ask in (("plugin", _by_index), ("plain script", _one_by_one)):
                before = len(server.requests())
                ask(server, names)
                requests = len(server.requests()) - before
                rows.append([how, requests, f"{requests / files:.3f}"])
    print(harness.machine())
    print(harness.table(rows))


def _by_index(server: Server, paths: list[str]) -> None:
    with Client(server.endpoint, Token(server.token)) as client:
        index = ProjectIndex(client, server.project)
        for path in 3 * paths:
            entry = index.find(path)
            if entry is None or index.mtime(entry) <= 0:
                raise harness.Unfit(f"{path} is not there")


def _one_by_one(server: Server, paths: list[str]) -> None:
    """By name, and only once, since nobody would do this three times."""
    api = Api(url=server.endpoint, token=server.token, debug=True)
    folder = api.files.query(project=server.project, names=["bench"])[0]
    folder = api.files.query(parent=folder.id, names=["inputs"])[0]
    for path in paths:
        if not api.files.query(parent=folder.id, names=[path.rpartition("/")[2]]):
            raise harness.Unfit(f"{path} is not there")


if __name__ == "__main__":
    main()
