"""Which jobs of a pack have succeeded, by the document of its task alone."""

from __future__ import annotations

from typing import Any

import pytest

from snakemake_executor_cavatica.api import Task, TaskStatus
from snakemake_executor_cavatica.run.tasks_of_runs import packed_jobs
from snakemake_executor_cavatica.translate.app import COMMAND
from snakemake_executor_cavatica.translate.job_key import JobKey, Listed, TaskMark, job_list_line
from snakemake_executor_cavatica.translate.measured import MEASURED

FILE = {"class": "File", "path": "f", "name": "1.txt"}
LOG = {"class": "File", "path": "l", "name": "1.log"}
LINE = "job 1: wall 1.00 s, cpu 0.50 s, memory 10.00 MiB, exit {}, outputs 3 B, started unknown."
JOB = Listed(
    TaskMark("run", "1", 1, JobKey("0" * 16, "0" * 32)), outputs={"out": "1.txt", "log": "1.log"}
)
DONE, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED


def status(status: str, outputs: dict[str, Any], *, are_in_place: bool) -> str:
    task = Task(
        id="t",
        status=status,
        outputs=outputs,
        inputs={COMMAND: f"{job_list_line([JOB])}\nuse_job() {{ :; }}\n"},
    )
    [leftover] = packed_jobs(task, task, are_in_place=are_in_place)
    assert leftover.task.id == "t#1"
    return leftover.task.status


@pytest.mark.parametrize(
    ("outputs", "fresh", "in_place"),
    [
        ({"out": [FILE], "log": [LOG]}, DONE, DONE),
        ({"out": [FILE], "log": [LOG], MEASURED: LINE.format(0)}, DONE, DONE),
        ({"out": [], "log": [LOG]}, FAILED, FAILED),
        ({"out": [], "log": [LOG], MEASURED: LINE.format(1)}, FAILED, FAILED),
        ({MEASURED: LINE.format(1)}, FAILED, FAILED),
        ({"out": [FILE], "log": [LOG], MEASURED: LINE.format(1)}, FAILED, FAILED),
        ({}, FAILED, FAILED),
        # Moved since, under other names.
        ({"out": [LOG], "log": [], MEASURED: LINE.format(0)}, FAILED, DONE),
    ],
)
def test_a_job_of_a_pack_that_has_ended(outputs: dict[str, Any], fresh: str, in_place: str) -> None:
    assert status("COMPLETED", outputs, are_in_place=False) == fresh
    assert status("COMPLETED", outputs, are_in_place=True) == in_place


@pytest.mark.parametrize("state", ["RUNNING", "QUEUED", "ABORTED", "FAILED"])
def test_a_job_of_another_pack_stands_as_that_does(state: str) -> None:
    assert status(state, {}, are_in_place=False) == state
