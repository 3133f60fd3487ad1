"""What jobs take, as their tasks tell it: measured in real executions."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from container_images import ENVIRONMENT, Filesystem, Images
from workflow_runs import Platform, Workflow, new_workflow

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.translate.measured import (
    MEASURED,
    Measured,
    lines_of_jobs,
    measured_by,
    read_measured,
)

MB, MIB = 1_000_000, 1024 * 1024
ALLOCATED, READ, BURNT = 100, 50, 0.5
"""MB held, MB read from a file, and seconds of CPU, of each job."""
JOBS, WRITTEN = 6, 1234
BASE = 12
"""MiB of a Python that holds nothing."""
HELD = 2.5
"""Seconds for which all is held: where a look takes long, the next one comes a second later."""
TAKING = """
import sys, time
held = bytearray(b"x") * ({mb} * 1000 * 1000)
with open(sys.argv[1], "rb") as stream:
    while stream.read(1 << 20):
        pass
while time.process_time() < {cpu}:
    pass
time.sleep({held})
open(sys.argv[2], "w").write("x" * 1234)
"""
SNAKEFILE = """
WAYS = {{"alone": {{}}, "batch": {{"cavatica_batch": "auto"}}, "pack": {{"cavatica_pack": 2}}}}
rule all:
    input: expand("{{way}}/{{x}}.txt", way=WAYS, x=range(2))
for way, resources in WAYS.items():
    rule:
        name: way
        input: "big.bin", "taking.py", own="own/{{x}}"
        output: f"{{way}}/{{{{x}}}}.txt"
        container: "docker://{image}"
        resources:
            cavatica_inputs="{inputs}",
            **resources
        shell: "{python} {{input[1]}} {{input[0]}} {{output}}"
"""


def tasks(workflow: Workflow) -> list[Task]:
    """All of them, without those that have children."""
    with workflow.platform.client() as client:
        listed = list(client.list_tasks(project=workflow.platform.project, fields="_all"))
        parents = [task for task in listed if task.batch]
        children = [one for parent in parents for one in client.list_tasks(parent=parent.id)]
        ids = [task.id for task in [*listed, *children] if not task.batch]
        return [one for one in client.get_tasks(ids).values() if isinstance(one, Task)]


def all_measured(workflow: Workflow) -> list[Measured]:
    """Of all jobs, packed or not."""
    found = []
    for task in tasks(workflow):
        lines = lines_of_jobs(task.outputs.get(MEASURED))
        found += [read_measured(line) for line in lines.values()] or [measured_by(task)]
    return found


def take(workflow: Workflow, image: str = "unused", python: str = sys.executable) -> None:
    """Run jobs that take a known amount of all, and see that it was found."""
    snakefile = SNAKEFILE.format(image=image, python=python, inputs="link")
    workflow.write(
        {"Snakefile": snakefile, "taking.py": TAKING.format(mb=ALLOCATED, cpu=BURNT, held=HELD)}
    )
    workflow.put({"own/0": "0", "own/1": "1"})
    with (workflow.directory / "big.bin").open("wb") as stream:
        stream.truncate(READ * MB)
    workflow.succeed("--jobs", "6")
    names = sorted(task.name.partition(" ")[0] for task in tasks(workflow))
    assert names == ["alone", "alone", "batch", "batch", "pack"]
    found = all_measured(workflow)
    assert len(found) == JOBS
    for one in found:
        assert one.exit_status == 0
        assert not one.is_old
        assert one.output_bytes == WRITTEN
        assert one.peak_memory_mib == pytest.approx(ALLOCATED * MB / MIB + BASE, rel=0.1)
        assert one.cpu_seconds is not None
        assert BURNT - 0.02 <= one.cpu_seconds <= BURNT + 0.5  # told in hundredths, cut off
        assert one.wall_seconds is not None
        assert one.cpu_seconds + HELD <= one.wall_seconds + 0.02


def test_what_jobs_take_is_told_alone_in_batches_and_in_packs(own_transfer: Workflow) -> None:
    take(own_transfer)


def test_the_same_in_containers(tmp_path: Path, containers: Platform, images: Images) -> None:
    """As a user that the image does not know, and with a file system that is read-only."""
    content = Filesystem()
    content.python(f"{ENVIRONMENT}/bin/python")
    content.busybox()
    image = images.make("measured", content, "USER 1234")
    take(new_workflow(tmp_path, containers.fresh()), image, f"{ENVIRONMENT}/bin/python")


MIXED = """
rule all:
    input: "run.txt", "ok.txt"
rule run:
    output: "run.txt"
    benchmark: "bench/run.tsv"
    run:
        held = bytearray(b"x") * (200 * 1024 * 1024)
        open(output[0], "w").write("run")
rule ok:
    output: "ok.txt"
    benchmark: "bench/ok.tsv"
    resources: cavatica_mode="direct"
    shell: "sleep 0.5; echo ok > {output}"
"""


def test_snakemake_in_a_task_is_measured_as_a_whole_and_benchmarks_are_filled(
    own_transfer: Workflow,
) -> None:
    own_transfer.write({"Snakefile": MIXED})
    own_transfer.succeed()
    found = sorted(all_measured(own_transfer), key=lambda one: one.peak_memory_mib or 0)
    assert (found[1].peak_memory_mib or 0) > 220
    assert (found[1].cpu_seconds or 0) > 0.3
    cells = (own_transfer.read("bench/ok.tsv") or "").splitlines()[1].split("\t")
    assert float(cells[0]) == found[0].wall_seconds
    assert float(cells[2]) == found[0].peak_memory_mib
    assert float(cells[9]) == found[0].cpu_seconds


FAILING = """
rule all:
    input: expand("{x}.txt", x=range(2)), "other.txt"
rule fail:
    output: "{x}.txt"
    resources: cavatica_pack=2
    shell:
        "echo the last words of {wildcards.x} >&2; sleep 0.3; "
        "test {wildcards.x} = 0 && echo x > {output}"
rule other:
    output: "other.txt"
    shell: "echo my last words >&2; exit 3"
"""


def test_a_failed_job_is_told_as_ever(own_transfer: Workflow) -> None:
    own_transfer.write({"Snakefile": FAILING})
    result = own_transfer.fail("--keep-going")
    assert "fail [x=1]: the command failed with exit status 1" in result.output
    assert "other: the command failed with exit status 3" in result.output
    assert "wall 0." not in result.output
    kept = (own_transfer.directory / ".snakemake/cavatica/logs").glob("*")
    words = sorted(path.read_text() for path in kept)
    assert words == ["my last words\n", "the last words of 1\n"]
    told = [one.exit_status for one in all_measured(own_transfer)]
    assert sorted(told, key=str) == [0, 1, None], "a task that fails has no outputs"


SMALL = """
rule all:
    input: expand("{x}.txt", x=range(3)), "other.txt"
rule small:
    output: "{x}.txt"
    resources: cavatica_pack=3
    shell: "echo x > {output}"
rule other:
    output: "other.txt"
    shell: "echo x > {output}"
"""


def revisions(workflow: Workflow) -> list[int]:
    """How many the two apps have."""
    with workflow.platform.client() as client:
        apps = [f"{workflow.platform.project}/snakemake-{name}" for name in ("small", "other")]
        return [len(client.get_app_raw(app)["sbg:revisionsInfo"]) for app in apps]


@pytest.mark.parametrize(("variant", "stored"), [("null", 1), ("refused", 2)])
def test_a_run_does_without_where_the_platform_does_not_hand_it_back(
    tmp_path: Path, serve: Callable[..., Platform], variant: str, stored: int
) -> None:
    workflow = new_workflow(tmp_path, serve("--switch", f"string_outputs={variant}"))
    workflow.write({"Snakefile": SMALL})
    for forced in ((), ("--forceall",)):
        result = workflow.succeed("--verbose", *forced)
        assert result.output.count("does not tell what it took") == 1
        assert max(revisions(workflow)) == stored, "refused once, and not tried again"
    assert not any(one.is_told for one in all_measured(workflow))
    assert workflow.read("2.txt") == "x\n"


def test_it_can_be_left_out_and_costs_no_request(own_transfer: Workflow) -> None:
    own_transfer.write({"Snakefile": SMALL})

    def requests(measure: str) -> Counter[str]:
        before = len(own_transfer.platform.requests())
        own_transfer.succeed("--forceall", "--cavatica-measure", measure)
        made = own_transfer.platform.requests()[before:]
        paths = [re.sub("[0-9A-Za-z_-]{20,}", "ID", one["path"].partition("?")[0]) for one in made]
        asked = zip([one["method"] for one in made], paths, strict=True)
        kinds = Counter(f"{method} {path}" for method, path in asked if method != "GET")
        # Apps are stored once; the others come again and again as long as a run lasts.
        return Counter({kind: n for kind, n in kinds.items() if not kind.endswith(seldom)})

    seldom = ("raw", "get", "metadata")
    requests("true")
    without, with_it = requests("off"), requests("true")
    assert with_it == without
    assert with_it["POST /v2/tasks"] == 2
    assert revisions(own_transfer) == [2, 2]
    told = sorted(bool(task.outputs.get(MEASURED)) for task in tasks(own_transfer))
    assert told == [False] * 2 + [True] * 4


def test_a_task_of_a_run_that_did_not_measure_is_taken_up_by_one_that_does(
    own_transfer: Workflow,
) -> None:
    own_transfer.write(
        {"Snakefile": "rule one:\n    output: 'o'\n    shell: 'sleep 4; echo > {output}'"}
    )
    process = own_transfer.start("--cavatica-measure", "false")
    while "is task" not in (process.stdout.readline() if process.stdout else "is task"):
        pass
    process.kill()
    process.communicate(timeout=30)
    own_transfer.succeed()
    assert len(own_transfer.platform.executions()) == 1
