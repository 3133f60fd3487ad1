"""A run that was killed is taken up by the same command: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Result, Workflow

from snakemake_executor_cavatica.identity import run_of
from snakemake_executor_cavatica.journal import JOURNAL

FAN = """
rule all:
    input: "all.txt"
rule one:
    input: "in.txt"
    output: temp("{x}.txt")
    shell: "sleep {wildcards.x}; cat {input} > {output}; echo {wildcards.x} >> {output}"
rule join:
    input: expand("{x}.txt", x=[0, 2, 4])
    output: "all.txt"
    shell: "cat {input} > {output}"
"""
JOINED = "in\n0\nin\n2\nin\n4\n"
CHAIN = """
rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "sleep 3; cat {input} > {output}; echo b >> {output}"
rule a:
    input: "in.txt"
    output: "a.txt"
    shell: "cat {input} > {output}; echo a >> {output}"
"""


@pytest.fixture
def own(tmp_path: Path, serve: Callable[..., Platform], place: DataPlace) -> Workflow:
    """A workflow on a server of its own, whose records hold nothing else."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = Workflow(directory, serve(), place)
    workflow.put({"in.txt": "in\n"})
    return workflow


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def statuses(workflow: Workflow) -> dict[str, str]:
    """Of each task by its name; the youngest if there are several."""
    with workflow.platform.client() as client:
        tasks = client.list_tasks(
            project=workflow.platform.project, order_by="created_time", order="asc"
        )
        return {task.name: task.status for task in tasks}


def kill(process: subprocess.Popen[str]) -> str:
    process.kill()
    output, _ = process.communicate(timeout=30)
    return output


def executed(workflow: Workflow) -> Counter[str]:
    """How often the commands of each job were started, by the platform's own record."""
    with workflow.platform.client() as client:
        names = {
            task.id: task.name for task in client.list_tasks(project=workflow.platform.project)
        }
    return Counter(names[execution["task"]] for execution in workflow.platform.executions())


def journals(workflow: Workflow) -> list[str]:
    with workflow.platform.client() as client:
        roots = client.list_files(project=workflow.platform.project, names=["snakemake"])
        return [
            file.name
            for root in list(roots)
            for file in client.list_files(parent=root.id)
            if file.name.startswith(JOURNAL)
        ]


def elsewhere(workflow: Workflow) -> Workflow:
    """The same workflow on another machine, where nothing is known of the first one."""
    directory = workflow.directory.parent / "elsewhere"
    directory.mkdir()
    shutil.copy(workflow.directory / "Snakefile", directory)
    return Workflow(directory, workflow.platform, workflow.place, workflow.folder)


def assert_done(workflow: Workflow, expected: dict[str, str]) -> None:
    for name, content in expected.items():
        assert workflow.read(name) == content
    assert journals(workflow) == []
    assert workflow.run().nothing_to_do


@pytest.mark.parametrize("arguments", [(), ("--rerun-incomplete",)])
def test_a_killed_run_is_taken_up_by_the_same_command(
    own: Workflow, arguments: tuple[str, ...]
) -> None:
    """Jobs that had ended, that ended unseen, that were running and that were not yet started."""
    own.write({"Snakefile": FAN})
    process = own.start()
    until(lambda: statuses(own).get("one [x=4]") == "RUNNING")
    until(lambda: statuses(own).get("one [x=0]") == "COMPLETED")
    time.sleep(1)
    process.send_signal(signal.SIGSTOP)
    until(lambda: statuses(own).get("one [x=2]") == "COMPLETED")
    kill(process)
    result = own.succeed(*arguments)
    assert "of the earlier run" in result.output
    assert executed(own) == {"one [x=0]": 1, "one [x=2]": 1, "one [x=4]": 1, "join": 1}
    assert_done(own, {"all.txt": JOINED})
