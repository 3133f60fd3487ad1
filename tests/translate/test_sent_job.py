"""What a task was sent about a job can be read back from the task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.api import FileRef, Task
from snakemake_executor_cavatica.project.paths import LocalPath
from snakemake_executor_cavatica.translate.app import COMMAND, SCRIPT
from snakemake_executor_cavatica.translate.batch import group
from snakemake_executor_cavatica.translate.candidate import Candidate
from snakemake_executor_cavatica.translate.command import command_file
from snakemake_executor_cavatica.translate.draft import Work, work_of_job
from snakemake_executor_cavatica.translate.job_key import JobKey, TaskMark
from snakemake_executor_cavatica.translate.pack import pack_jobs
from snakemake_executor_cavatica.translate.sent_job import SentJob, sent_job
from snakemake_executor_cavatica.translate.shared_task import packed_job_id

HARD = ["true", "cat <<'END-0'\n;;\nEND-0", "echo ';;'\n# Jobs: []", "grep '|' $1"]
LOGS = ["logs/a b.log", "it's.log"]


def candidate(number: int, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "jobid": str(number),
        "inputs": [local(f"in/{number} 'x|y'.txt", size=0)],
        "outputs": [local(f"out/{number}.txt")],
        "logs": [local(f"{number}/{name}") for name in LOGS],
    }
    planned = replace(plan(HARD[number % len(HARD)], **(values | changes)), packed=8)
    files = {staged.place: FileRef(f"id of {staged.path}") for staged in planned.inputs}
    names = {ref.path: place.path.rpartition("/")[2] for place, ref in files.items()}
    mark = TaskMark("run", str(number), 1, JobKey(f"{number:016x}", f"{number:032x}"))
    return Candidate(planned, mark, files, names)


def task(work: Work, **inputs: Any) -> Task:
    return Task(id="t", inputs={SCRIPT: work.script, COMMAND: work.command, **inputs})


def expected(one: Candidate, sent: SentJob | None) -> None:
    assert sent is not None
    assert sent.command == command_file(one.plan)
    assert list(sent.logs.values()) == [f"{one.mark.jobid}/{name}" for name in LOGS]
    outputs = [one.plan.outputs[index] for index in sent.logs]
    assert [output.role for output in outputs] == ["log", "log"]


@pytest.mark.parametrize("number", range(len(HARD)))
def test_a_job_alone(number: int) -> None:
    one = candidate(number)
    expected(one, sent_job(task(work_of_job(one.plan, dict(one.files))), "t"))


def test_a_packed_job() -> None:
    jobs = [candidate(number) for number in range(8)]
    [pack] = pack_jobs(jobs)[0]
    for one in jobs:
        expected(one, sent_job(task(pack.work), packed_job_id("t", one.mark.jobid)))
    assert sent_job(task(pack.work), packed_job_id("t", "99")) is None


def test_a_child_of_a_batch() -> None:
    jobs = [candidate(number) for number in range(8)]
    [batch] = group(jobs).batches
    for one in jobs:
        [(place, ref)] = one.files.items()
        assert isinstance(place, LocalPath)
        own = {"class": "File", "path": ref.path, "name": one.names[ref.path]}
        expected(one, sent_job(task(batch.work, inputs=[own]), "t"))


def test_a_task_that_is_none_of_ours() -> None:
    assert sent_job(Task(id="t", inputs={"reads": "x"}), "t") is None
