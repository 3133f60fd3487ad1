"""What workloads cost with the options that spare money, beside the same without them.

    python -m benchmarks.dollars               # about 3 minutes

Simulated tasks of one to three seconds, each second of which costs what an hour costs on the
embedded platform's instances. One tenth of the jobs needs twice the memory of the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import harness
from .harness import Server, Simulation

_SNAKEFILE = """
rule all:
    input: expand("results/{{x}}.txt", x=range({jobs}))

rule align:
    output: "results/{{x}}.txt"
    {more}
    resources: mem_mb={memory}
    shell: "touch {{output}}"
"""
_HUNGRY = [
    {"task": r"x=\d*7\]", "seconds": "1-3", "memory_mb": "13000-15000"},
    {"task": "^align", "seconds": "1-3", "memory_mb": "5000-7000"},
]
_SIZES = (1000, 3000, 7000, 15000)
"""MB that the jobs of each of four rules use at most; they ask for four times as much. Of
their disks of 1 TB they use 10 to 40 GB."""
_MODEST = [
    {
        "task": f"^use_{size} ",
        "seconds": "1-3",
        "memory_mb": f"{size // 2}-{size}",
        "disk_mb": "10000-40000",
    }
    for size in _SIZES
]
_LAVISH = """
rule all:
    input: expand("results/{{size}}-{{x}}.txt", size={sizes}, x=range({jobs}))
"""
_USE = """
rule use_{size}:
    output: "results/{size}-{{x}}.txt"
    resources: mem_mb={asked}
    shell: "touch {{output}}"
"""


_CHAIN = """
rule all:
    input: expand("results/{{x}}.txt", x=range({jobs}))

rule align:
    output: "aligned/{{x}}.txt"
    resources: mem_mb=1000
    shell: "echo {{wildcards.x}} > {{output}}"

rule call:
    input: "aligned/{{x}}.txt"
    output: "results/{{x}}.txt"
    resources: mem_mb=1000
    shell: "cat {{input}} > {{output}}"
"""
_QUICK = [{"task": "^(align|call)", "seconds": "1-3"}]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    options = parser.parse_args()
    rows: list[list[object]] = [["workload", "how", "jobs done", "dollars", "times"]]
    rows += _memory(options.jobs)
    rows += _right_size(options.jobs)
    rows += _reuse(options.jobs)
    print(harness.machine())
    print(harness.table(rows))


def _memory(jobs: int) -> list[list[object]]:
    """A tenth of the jobs needs more memory than the rule asks for."""
    name = "a tenth of the jobs runs out of memory"
    ways = [
        ("`retries: 3`, 8000 MB", _rule(jobs, "8000", retries=3), ()),
        ("16000 MB for all", _rule(jobs, "16000"), ()),
        (
            "`retries: 3`, 8000 MB * attempt",
            _rule(jobs, "lambda wildcards, attempt: 8000 * attempt", retries=3),
            (),
        ),
        (
            "8000 MB, `--cavatica-memory-retries 2`",
            _rule(jobs, "8000"),
            ("--cavatica-memory-retries", "2"),
        ),
    ]
    found = []
    for how, snakefile, words in ways:
        with _platform(_HUNGRY) as server, harness.workflow(snakefile) as directory:
            harness.run_plugin_in(server, directory, "--keep-going", *words, fails=True)
            found.append((how, *_paid(server)))
    return _rows(name, found)


def _right_size(jobs: int) -> list[list[object]]:
    """Rules that ask for four times what they use; their second run."""
    found = []
    each = jobs // len(_SIZES)
    rules = [_USE.format(size=size, asked=4 * size) for size in _SIZES]
    snakefile = _LAVISH.format(sizes=list(_SIZES), jobs=each) + "".join(rules)
    for how, words in (("as asked", ()), ("`--cavatica-right-size`", ("--cavatica-right-size",))):
        with _platform(_MODEST) as server, harness.workflow(snakefile) as directory:
            harness.run_plugin_in(server, directory, *words)
            _, before = _paid(server)
            harness.run_plugin_in(server, directory, "--forceall", *words)
            done, after = _paid(server)
            found.append((how, done - each * len(_SIZES), after - before))
    return _rows("four rules ask for four times what they use, second run", found)


def _reuse(jobs: int) -> list[list[object]]:
    """Two rules, one on the results of the other; a colleague runs the same for another folder."""
    found = []
    snakefile = _CHAIN.format(jobs=jobs // 2)
    for how, words in (("without", ()), ("`--cavatica-reuse`", ("--cavatica-reuse",))):
        with _platform(_QUICK) as server:
            paid = [0.0]
            for prefix in ("first", "second"):
                place = ("--default-storage-prefix", f"cavatica://{server.project}/{prefix}")
                with harness.workflow(snakefile) as directory:
                    harness.run_plugin_in(server, directory, *place, *words)
                paid.append(_paid(server)[1])
            found.append((how, jobs // 2 * 2, paid[2] - paid[1]))
    return _rows("a second colleague's run", found)


def _rule(jobs: int, memory: str, *, retries: int = 0) -> str:
    more = f"retries: {retries}" if retries else "priority: 0"
    return _SNAKEFILE.format(jobs=jobs, memory=memory, more=more)


def _rows(name: str, found: Sequence[tuple[str, int, float]]) -> list[list[object]]:
    first = found[0][2]
    return [
        [name, how, done, f"{dollars:.2f}", f"{dollars / first:.2f}"]
        for how, done, dollars in found
    ]


@contextmanager
def _platform(behaviours: Sequence[object]) -> Iterator[Server]:
    simulation = Simulation(instances=200, rate_limit="off", latency=0)
    with tempfile.TemporaryDirectory(prefix="cavatica-bench-") as folder:
        path = Path(folder, "behaviours.json")
        path.write_text(json.dumps(behaviours))
        more = ("--simulation", str(path), "--fault-seed", "1", "--price-hour", "1")
        with harness.serve(simulation, more=more) as server:
            yield server


def _paid(server: Server) -> tuple[int, float]:
    """Tasks that have completed, and what all have cost."""
    tasks, offset = [], 0
    while page := server.get(
        f"/tasks?project={server.project}&fields=status,price&order_by=created_time&order=asc&limit=100&offset={offset}"
    )["items"]:
        tasks += page
        offset += len(page)
    completed = sum(task["status"] == "COMPLETED" for task in tasks)
    return completed, sum(float((task["price"] or {}).get("amount") or 0) for task in tasks)


if __name__ == "__main__":
    main()
