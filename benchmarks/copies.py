"""What it costs that inputs are copies and no links: the example, and one job with large ones.

    python -m benchmarks.copies                  # about 10 minutes, and 15 GB of disk
    python -m benchmarks.copies --gb 1 --pairs 1

Tasks are really executed, on one platform. In each pair the same workflow runs with
`--cavatica-inputs copy` and with `link`, in turn first the one and the other. The time is that of
the whole run. The disk is the most that lay in the working directories of tasks at a time, looked
at five times a second: what the platform has stored does not count, nor links to it.

How long a copy takes is told by the disk: the speed of `cp` from a file that is in memory, as what
the platform has just fetched is, and of one that is not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.project.fetch_store import store
from snakemake_executor_cavatica.project.index import ProjectIndex

from . import harness
from .harness import ROOT, Server, measure, median

LARGE = """
rule all:
    input: "sums"

rule job:
    input: expand("part{n}", n=range(4))
    output: "sums"
    shell: "cat {input} | cksum > {output}"
"""
GB = 1_000_000_000
WAYS = ("copy", "link")


class Disk:
    """The most bytes that the tasks of a platform have had for themselves."""

    def __init__(self, root: Path) -> None:
        self._executions = root / "executions"
        self._is_over = threading.Event()
        self.most = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look again and again as long as the block lasts."""
        self.most, before = 0, self._bytes()
        self._is_over.clear()
        thread = threading.Thread(target=self._watch, args=(before,))
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()

    def _watch(self, before: int) -> None:
        while not self._is_over.wait(0.2):
            self.most = max(self.most, self._bytes() - before)

    def _bytes(self) -> int:
        paths = (Path(top, name) for top, _, names in os.walk(self._executions) for name in names)
        return sum(map(_own_bytes, paths))


def _own_bytes(path: Path) -> int:
    """Of a file that is nobody else's: what is stored is known by another name as well."""
    try:
        status = path.lstat()
    except FileNotFoundError:  # it has gone meanwhile
        return 0
    return status.st_blocks * 512 if status.st_nlink == 1 else 0


def example(server: Server, way: str) -> float:
    """Seconds of a run of the example workflow."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "example")
        left = shutil.ignore_patterns("results", ".snakemake", ".cavatica-local")
        shutil.copytree(ROOT / "example_workflow", folder, ignore=left)
        command = ["--workflow-profile", "profiles/cavatica", "--cavatica-inputs", way]
        return run(server, folder, command)


def large(server: Server, way: str) -> float:
    """Seconds of a run of the job with large inputs, which lie on the platform."""
    prefix = f"cavatica://{server.project}/large"
    storage = ["--default-storage-provider", "cavatica", "--default-storage-prefix", prefix]
    with harness.workflow(LARGE) as folder:
        words = ["--executor", "cavatica", "--forceall", "--cavatica-inputs", way]
        return run(server, folder, [*words, *storage])


def run(server: Server, folder: Path, words: list[str]) -> float:
    """Seconds of a run of Snakemake with two jobs at a time."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "rules", "--jobs", "2"]
    command += ["--cavatica-project", server.project, *words]
    return measure(command, folder, server.environment()).wall


def put_parts(server: Server, size: int, scratch: Path) -> None:
    """Have four files of random bytes on the platform."""
    part = scratch / "part"
    index = ProjectIndex(Client(server.endpoint, Token(server.token)), server.project)
    for number in range(4):
        write_random(part, size // 4)
        store(index, part, f"large/part{number}")
        part.unlink()


def write_random(path: Path, size: int) -> None:
    """A file that neither a file system nor a processor can make smaller."""
    with path.open("wb") as file:
        for _ in range(size // 1_000_000):
            file.write(os.urandom(1_000_000))
        os.fsync(file.fileno())


def pairs(
    run_one: Callable[[Server, str], float], server: Server, disk: Disk, count: int
) -> list[list[object]]:
    """A row for each way: seconds of all runs, their median, and the most disk."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    most = dict.fromkeys(WAYS, 0)
    for number in range(count):
        for way in WAYS if number % 2 else reversed(WAYS):
            with disk.watched():
                seconds[way].append(run_one(server, way))
            most[way] = max(most[way], disk.most)
    return [
        [
            f"{run_one.__name__}, {way}",
            f"{median(seconds[way]):.1f}",
            " ".join(f"{one:.1f}" for one in seconds[way]),
            f"{most[way] / 1e6:,.0f}",
        ]
        for way in WAYS
    ]


def speeds(folder: Path) -> str:
    """MB a second of `cp`, with what is on the disk in the end, from memory and from the disk."""
    source, target = folder / "source", folder / "target"
    write_random(source, GB)
    found = []
    for is_cached in (True, False):
        if not is_cached:
            with source.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        subprocess.run(["cp", "--reflink=never", source, target], check=True)
        with target.open("rb+") as file:
            os.fsync(file.fileno())
        found.append(1000 / (time.perf_counter() - began))
        target.unlink()
    source.unlink()
    return f"cp: {found[0]:.0f} MB/s from memory, {found[1]:.0f} MB/s from the disk"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gb", type=float, default=5, help="of inputs of the large job")
    parser.add_argument("--pairs", type=int, default=3, help="of the example")
    parser.add_argument("--large-pairs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be used")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        root = Path(scratch, "platform")
        print(harness.machine(), speeds(Path(scratch)), sep="\n", flush=True)
        with harness.serve(
            harness.Simulation(rate_limit="off", latency=0), root, "cwltool"
        ) as server:
            disk = Disk(root)
            example(server, "link")  # uploads what all the others find there
            rows = pairs(example, server, disk, options.pairs)
            put_parts(server, int(options.gb * GB), Path(scratch))
            rows += pairs(large, server, disk, options.large_pairs)
    print(harness.table([["", "median, s", "runs, s", "disk of tasks, MB"], *rows]))


if __name__ == "__main__":
    main()
