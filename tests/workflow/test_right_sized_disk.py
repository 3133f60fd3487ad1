"""With right-sizing, jobs get the disk that is enough, and the rest where it is needed."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workflow_runs import Platform, Workflow, new_workflow

OPTIONS = ("--jobs", "50", "--cavatica-right-size", "--cavatica-interruptible", "false")
SIMULATED = """
rule all:
    input: expand("out/{x}.txt", x=range(JOBS))
rule align:
    output: "out/{x}.txt"
    resources: mem_mb=3000
    shell: "touch {output}"
"""


def disks(platform: Platform, *, of: str = "") -> dict[str, list[int]]:
    """GB that the tasks of each name had, in the order of their starts; 0 for the platform's own
    choice.
    """
    found: dict[str, list[int]] = {}
    for task in tasks_of(platform):
        if task["name"].startswith(of):
            instance = task["execution_settings"].get("instance_type") or ";;0"
            found.setdefault(task["name"], []).append(int(instance.rpartition(";")[2]))
    return found


def tasks_of(platform: Platform) -> list[dict[str, Any]]:
    """As the platform tells of them; those that were made first are the first."""
    query = f"project={platform.project}&order_by=created_time&order=asc&limit=100"
    request = urllib.request.Request(
        f"{platform.endpoint}/tasks?{query}&fields=name,batch,execution_settings",
        headers={"X-SBG-Auth-Token": platform.token},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.load(answer)["items"])


def simulated(
    serve: Callable[..., Platform], folder: Path, *behaviours: dict[str, Any]
) -> Workflow:
    path = folder / "behaviours.json"
    path.write_text(json.dumps([{"seconds": 1, **one} for one in behaviours]))
    options = ("--engine", "simulate", "--simulation", str(path), "--fault-seed", "3")
    workflow = new_workflow(folder, serve(*options, "--price-hour", "1"))
    workflow.write({"Snakefile": SIMULATED.replace("JOBS", "4")})
    return workflow


def test_the_second_run_asks_for_less_and_remembers_what_was_too_little(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """One new job of the second run finds no room; in the third, no job has to."""
    large = {"task": r"x=4\]", "disk_mb": 70_000}
    workflow = simulated(serve, tmp_path, large, {"task": "^align", "disk_mb": "20000-30000"})
    workflow.succeed(*OPTIONS)
    assert set(map(tuple, disks(workflow.platform).values())) == {(0,)}
    workflow.write({"Snakefile": SIMULATED.replace("JOBS", "5")})
    result = workflow.succeed(*OPTIONS, "--forceall")
    told = r"Rule align: a disk of (\d+) GB instead of 1024, by what its jobs have used in earlier"
    assert re.findall(told, result.output) == ["50"]
    assert result.output.count("Trying again with a disk of 1024 GB.") == 1
    saved = (
        "Right-sizing: rule align had a disk of 50 GB instead of 1024 in 4 jobs, which saved about"
    )
    assert saved in result.output
    second = disks(workflow.platform)
    assert second.pop("align [x=4]") == [50, 0]
    assert set(map(tuple, second.values())) == {(0, 50)}
    result = workflow.succeed(*OPTIONS, "--forceall")
    assert re.findall(told, result.output) == ["100"]
    assert "Trying again" not in result.output
    assert {gb[-1] for gb in disks(workflow.platform).values()} == {100}


def test_where_all_of_them_were_too_small_the_rule_keeps_its_disk(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """What filled the disk was not measured to its end: a fault of the tool, or it was quick."""
    workflow = simulated(serve, tmp_path, {"task": "^align", "disk_mb": 20_000})
    workflow.succeed(*OPTIONS)
    workflow.platform.inject(
        {"do": "fail-task", "task": "x=0", "reason": "disk", "seconds": 0.2, "times": 1}
    )
    workflow.succeed(*OPTIONS, "--forceall")
    assert disks(workflow.platform)["align [x=0]"] == [0, 50, 0]
    workflow.succeed(*OPTIONS, "--forceall")
    assert {gb[-1] for gb in disks(workflow.platform).values()} == {0}


def test_with_memory_retries_a_disk_that_is_too_small_all_the_same_is_doubled(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """First the rule's own, which costs one more task and no more, then twice that."""
    large = {"task": r"x=4\]", "disk_mb": 1_500_000}
    workflow = simulated(serve, tmp_path, large, {"task": "^align", "disk_mb": 20_000})
    workflow.succeed(*OPTIONS)
    workflow.write({"Snakefile": SIMULATED.replace("JOBS", "5")})
    workflow.succeed(*OPTIONS, "--cavatica-memory-retries", "1")
    assert disks(workflow.platform)["align [x=4]"] == [50, 0, 2048]


def test_jobs_on_smaller_disks_are_in_batches_still(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    workflow = simulated(serve, tmp_path, {"task": "^align", "disk_mb": 20_000})
    text = SIMULATED.replace("JOBS", "4").replace("output:", "input: 'in/{x}.txt'\n    output:")
    workflow.write({"Snakefile": text, **{f"in/{x}.txt": f"{x} " * 10 for x in range(4)}})
    batch = ("--cavatica-batch", "auto")
    workflow.succeed(*OPTIONS, *batch)
    result = workflow.succeed(*OPTIONS, *batch, "--forceall")
    assert "a disk of 50 GB instead of 1024" in result.output
    parents = [one for one in tasks_of(workflow.platform) if one["batch"]]
    assert [one["execution_settings"].get("instance_type") for one in parents] == [
        None,
        "c5.large;ebs-gp2;50",
    ]


DF = """#!/bin/sh
printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\n'
printf '/dev/nvme1n1 1056894132 21000000 1035894132 2%% /sbgenomics\\n'
"""
COPIES = """
rule all:
    input: expand("{x}.out", x=["a", "b", "c"])
rule copy:
    input: "{x}.in"
    output: "{x}.out"
    resources: mem_mb=3000, disk_mb=200000
    shell: "echo {resources.disk_mb} > {output}; cat {input} >> {output}"
"""


def test_a_job_with_larger_inputs_than_were_measured_keeps_its_disk(
    serve: Callable[..., Platform], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By tasks that really run, with a `df` that tells of an instance's disk."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "df").write_text(DF)
    (programs / "df").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    workflow = new_workflow(tmp_path, serve())
    workflow.write({"Snakefile": COPIES, **{f"{x}.in": f"{x} as large" for x in "abc"}})
    workflow.succeed(*OPTIONS)
    assert workflow.read("a.out") == "200000\na as large"
    workflow.write({"b.in": "b is larger"})
    workflow.succeed(*OPTIONS, "--forceall")
    had = disks(workflow.platform, of="copy")
    assert had == {"copy [x=a]": [0, 50], "copy [x=b]": [0, 0], "copy [x=c]": [0, 50]}
    asked = [workflow.read(f"{x}.out").partition("\n")[0] for x in "abc"]
    assert asked == ["49000", "200000", "49000"], "a command is told what it has"
    workflow.succeed(*OPTIONS, "--forceall")
    assert {gb[-1] for gb in disks(workflow.platform, of="copy").values()} == {50}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("The instance type c5.large is not available here.", "on an instance that the platform"),
        ("No instances are available.", "once, in 1 s, on an instance that the platform chooses."),
    ],
    ids=["no such type", "none to be had"],
)
def test_where_there_is_no_such_instance_the_platform_chooses(
    serve: Callable[..., Platform], tmp_path: Path, message: str, told: str
) -> None:
    """Nobody has asked for it, so nobody's job fails for it."""
    workflow = simulated(serve, tmp_path, {"task": "^align", "disk_mb": 20_000})
    workflow.succeed(*OPTIONS)
    workflow.platform.inject(
        {"do": "fail-task", "task": "x=0", "message": message, "seconds": 0, "times": 1}
    )
    result = workflow.succeed(*OPTIONS, "--forceall")
    assert f"Trying again {told}" in result.output
    assert disks(workflow.platform)["align [x=0]"] == [0, 50, 0]
