"""The report of real runs: at their end, later by a command, and by Snakemake's own option."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workflow_runs import Workflow

from snakemake_executor_cavatica.observe.record import find_record

WORKFLOW = """
rule all:
    input: expand("counts/{x}.txt", x=["a", "b"])
rule count:
    input: "in/{x}.txt"
    output: "counts/{x}.txt"
    resources: mem_mb=1000
    shell: "echo counting {wildcards.x} >&2; sleep 1; grep -c '' {input} > {output}"
"""


@pytest.fixture
def workflow(transfer_workflow: Workflow) -> Workflow:
    transfer_workflow.write({"Snakefile": WORKFLOW})
    transfer_workflow.put({"in/a.txt": "1\n2\n", "in/b.txt": "1\n"})
    return transfer_workflow


def command(workflow: Workflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", *arguments],
        cwd=workflow.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def data_of(path: Path) -> Any:
    match = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return json.loads(match[1])


def titles(path: Path) -> list[str]:
    return sorted(data_of(path)["columns"]["title"])


def test_a_run_leaves_its_report_and_later_ways_lead_to_the_same(workflow: Workflow) -> None:
    result = workflow.run("--cavatica-report", "at end.html")
    assert result.status == 0, result.output
    at_end = workflow.directory / "at end.html"
    assert f"; report: {at_end}" in result.output
    assert titles(at_end) == ["count [x=a]", "count [x=b]"]
    columns = data_of(at_end)["columns"]
    for known in ("page", "started", "ran", "queue", "cost", "memory_mib", "bytes_out"):
        assert None not in columns[known], known
    if Path("/proc/self/task").is_dir():
        assert min(columns["peak_mib"]) > 0, "jobs of a second are seen"
    assert "<title>count: 2 done</title>" in at_end.read_text()
    assert "<title>all: no task</title>" in at_end.read_text()

    later = command(workflow, "report")
    assert later.returncode == 0, later.stderr
    assert later.stdout == f"{workflow.directory / 'cavatica-report.html'}\n"
    run = find_record(workflow.directory).name
    assert command(workflow, "report", run, "-o", "named.html").returncode == 0

    by_snakemake = workflow.run("--reporter", "cavatica", "--report-cavatica-path", "own.html")
    assert by_snakemake.status == 0, by_snakemake.output
    for name in ("cavatica-report.html", "named.html", "own.html"):
        assert data_of(workflow.directory / name) == data_of(at_end)


def test_a_run_that_fails_has_its_report_too(workflow: Workflow) -> None:
    workflow.write({"Snakefile": WORKFLOW.replace("grep -c", "false; grep -c")})
    result = workflow.run("--cavatica-report", "x.html", "--keep-going")
    assert result.status == 1
    text = (workflow.directory / "x.html").read_text()
    assert '<h1 class="failed">The run failed</h1>' in text
    assert "counting a" in text
    assert "The command failed with exit status 1." in text


# ------------------------------------------------------------------------------------ mistakes


def test_a_place_that_cannot_be_is_told_before_anything_is_started(workflow: Workflow) -> None:
    before = len(workflow.platform.executions())
    result = workflow.run("--cavatica-report", "missing/x.html")
    assert result.status == 1
    assert "--cavatica-report missing/x.html is in a folder that does not exist" in result.output
    assert "Traceback" not in result.output
    assert len(workflow.platform.executions()) == before


def test_a_report_that_fails_does_not_fail_the_run(workflow: Workflow) -> None:
    # The folder is there when the run begins, and not when it ends.
    (workflow.directory / "gone").mkdir()
    last = 'x=["a", "b"])\n    localrule: True\n    shell: "rmdir gone"'
    workflow.write({"Snakefile": WORKFLOW.replace('x=["a", "b"])', last)})
    result = workflow.run("--cavatica-report", "gone/x.html")
    assert result.status == 0, result.output
    assert result.output.count("There is no report of this run. The report ") == 1
    run = find_record(workflow.directory).name
    assert f"Later, this makes it: snakemake-cavatica report {run} -o x.html" in result.output
    assert "; report: " not in result.output
    assert command(workflow, "report", run, "-o", "x.html").returncode == 0
