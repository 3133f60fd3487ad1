"""What the benchmarks share: a simulated platform, a workflow of equal jobs, and a stop-watch.

CPU seconds and memory are those of the measured process alone, as the system tells when it ends;
the platform is a process of its own.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FLOOR = ROOT / "benchmarks" / "floor"

SNAKEFILE = """
rule all:
    input: expand("results/{{x}}.txt", x=range({jobs}))

rule job:
    output: "results/{{x}}.txt"
    shell: "echo {{wildcards.x}} > {{output}}"
"""

WITH_INPUTS = """
rule all:
    input: expand("results/{{x}}.txt", x=range({jobs}))

rule job:
    input: "inputs/{{x}}.txt"
    output: "results/{{x}}.txt"
    shell: "cp {{input}} {{output}}"
"""

SEED = """
rule all:
    input: expand("inputs/{{h}}00.txt", h=["", *range(1, {last} + 1)])

rule first:
    output: [f"inputs/{{n}}.txt" for n in range(100)], "inputs/00.txt"
    shell: "touch {{output}}"

rule hundred:
    output: [f"inputs/{{{{h}}}}{{n:02}}.txt" for n in range(100)]
    wildcard_constraints: h="[1-9][0-9]*"
    shell: "touch {{output}}"
"""


class Unfit(Exception):
    """A run did not end as it has to, so there is nothing to measure."""


@dataclass(frozen=True)
class Simulation:
    """How the platform behaves; the defaults are those of the figures."""

    task_seconds: float = 60
    instances: int = 80
    rate_limit: str = "1000/300"
    """Requests per seconds, or `off`."""
    latency: float = 0.05
    """Seconds added to every request."""

    def waiting(self, requests: int) -> float:
        """Seconds that so many requests take at least: the limit is renewed as a whole."""
        allowed, _, window = self.rate_limit.partition("/")
        return (math.ceil(requests / int(allowed)) - 1) * float(window) if window else 0.0


@dataclass
class Server:
    """A running platform."""

    endpoint: str
    token: str
    project: str

    def environment(self) -> dict[str, str]:
        """For whoever is to use it."""
        return {"SB_API_ENDPOINT": self.endpoint, "SB_AUTH_TOKEN": self.token}

    def get(self, path: str) -> Any:
        """A document of the API or, with `/_control/...`, of the server's own records."""
        base = self.endpoint.removesuffix("/v2") if path.startswith("/_") else self.endpoint
        request = urllib.request.Request(f"{base}{path}", headers={"X-SBG-Auth-Token": self.token})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def requests(self) -> list[dict[str, Any]]:
        """Every request to the API so far; the storage behind signed URLs is another service."""
        log: list[dict[str, Any]] = self.get("/_control/log")
        return [one for one in log if not one["path"].startswith("/storage/")]


@contextmanager
def serve(
    simulation: Simulation,
    root: Path | None = None,
    engine: str = "simulate",
    more: Sequence[str] = (),
) -> Iterator[Server]:
    """A platform for the length of the block: a fresh one, or that of an earlier one in `root`.

    `more` are further options of its command.
    """
    options = {
        "--engine": engine,
        "--task-seconds": simulation.task_seconds,
        "--instances": simulation.instances,
        "--rate-limit": simulation.rate_limit,
        "--latency": simulation.latency,
    }
    words = [str(word) for option in options.items() for word in option]
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as fresh:
        command = [sys.executable, "-m", "cavatica_local", "serve"]
        process = subprocess.Popen(
            [*command, "--root", str(root or fresh), "--control", *words, *more],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield Server(ready["api_endpoint"], ready["auth_token"], ready["project"])
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True)
class Usage:
    """What a process used from its start to its end."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, of the user and of the system."""
    memory: float
    """Most memory at any time, MB."""
    lines: list[tuple[float, str]] = field(repr=False)
    """What it printed, and when: seconds since the epoch."""


def measure(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], *, fails: bool = False
) -> Usage:
    """Run a command to its end.

    Raises:
        Unfit: it failed, and that was not to be expected (`fails`).
    """
    lines: list[tuple[float, str]] = []
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    stream = process.stdout
    reader = threading.Thread(target=lambda: lines.extend((time.time(), line) for line in stream))
    reader.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    wall = time.monotonic() - began
    reader.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 and not fails:
        text = "".join(line for _, line in lines[-60:])
        raise Unfit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, lines)


@contextmanager
def workflow(snakefile: str) -> Iterator[Path]:
    """A directory with a workflow."""
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as directory:
        Path(directory, "Snakefile").write_text(snakefile)
        yield Path(directory)


def independent(jobs: int) -> str:
    """A workflow of jobs without inputs."""
    return SNAKEFILE.format(jobs=jobs)


def with_inputs(jobs: int) -> str:
    """A workflow of jobs with an input each, which `seed` has made."""
    return WITH_INPUTS.format(jobs=jobs)


def seed(root: Path, jobs: int) -> None:
    """Have inputs for `with_inputs` on a platform in `root`, a hundred by each task."""
    simulation = Simulation(task_seconds=0, instances=1000, rate_limit="off", latency=0)
    with serve(simulation, root) as server:
        run_plugin(server, SEED.format(last=(jobs - 1) // 100))


def run_plugin(server: Server, snakefile: str, *options: str, jobs: int = 100_000) -> Usage:
    """A whole run of the plugin, with all files on the platform; `jobs` at a time."""
    with workflow(snakefile) as directory:
        return run_plugin_in(server, directory, *options, jobs=jobs)


def run_plugin_in(
    server: Server, directory: Path, *options: str, jobs: int = 100_000, fails: bool = False
) -> Usage:
    """The same in a directory that stays; with `fails` it may end with failed jobs."""
    prefix = f"cavatica://{server.project}/bench"
    words = ["--default-storage-provider", "cavatica", "--default-storage-prefix", prefix]
    command = _snakemake(jobs, [*_executor(server), *words, *options])
    return measure(command, directory, server.environment(), fails=fails)


def run_transfer(server: Server, jobs: int, *options: str) -> Usage:
    """A whole run of the plugin with all files on this machine: a small input for each job."""
    with workflow(with_inputs(jobs)) as directory:
        (directory / "inputs").mkdir()
        for number in range(jobs):
            (directory / "inputs" / f"{number}.txt").write_text(f"{number}\n" * 1000)
        command = _snakemake(100_000, [*_executor(server), *options])
        return measure(command, directory, server.environment())


def _executor(server: Server) -> list[str]:
    return ["--executor", "cavatica", "--cavatica-project", server.project]


def run_floor(snakefile: str, *options: str, storage: bool = False) -> Usage:
    """The same workflow by an executor that does the least that an executor can do.

    On local files or, with `storage`, on files that exist in memory only.
    """
    words = [*options]
    if storage:
        words += [
            "--default-storage-provider",
            "floor",
            "--default-storage-prefix",
            "floor://bench",
        ]
        words += ["--shared-fs-usage", "none"]
    with workflow(snakefile) as directory:
        return run_floor_in(directory, *words)


def run_floor_in(directory: Path, *options: str) -> Usage:
    """The same in a directory that is there."""
    path = os.pathsep.join([str(FLOOR), os.environ.get("PYTHONPATH", "")])
    words = ["--executor", "floor", *options]
    return measure(_snakemake(100_000, words), directory, {"PYTHONPATH": path})


def run_script(server: Server, jobs: int, period: float) -> Usage:
    """As many tasks by the provider's Python client, used as its documentation shows."""
    with tempfile.TemporaryDirectory() as directory:
        script = [sys.executable, "-m", "benchmarks.plain_script"]
        words = ["--project", server.project, "--jobs", str(jobs), "--period", str(period)]
        environment = {**server.environment(), "PYTHONPATH": str(ROOT)}
        return measure([*script, *words], Path(directory), environment)


def _snakemake(jobs: int, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--jobs", str(jobs), "--quiet", "rules", *words]


def median(values: Sequence[float]) -> float:
    """The median of several runs."""
    return statistics.median(values)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as a table in Markdown; the first holds the headings."""
    lines = [" | ".join(map(str, row)) for row in rows]
    lines.insert(1, " | ".join(["---"] * len(rows[0])))
    return "\n".join(f"| {line} |" for line in lines)


def machine() -> str:
    """Where and when: for the tables."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_processor()}, {cores} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
