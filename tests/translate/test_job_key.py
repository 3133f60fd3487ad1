"""The key of a job: the same for the same job in any process, another for whatever differs."""

from __future__ import annotations

from typing import Any

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import LocalPath
from snakemake_executor_cavatica.read.facts import (
    GB,
    WORKDIR_PLACEHOLDER,
    Language,
    PreparedScript,
    WorkflowFile,
)
from snakemake_executor_cavatica.run.leftovers import Leftover, Leftovers
from snakemake_executor_cavatica.translate.job_key import (
    JobKey,
    TaskMark,
    job_key,
    run_of,
    task_mark_of,
)

CONTENTS = {LocalPath("in.txt"): "file-1"}
USUAL: dict[str, Any] = {
    "command": "sort in.txt > out.txt",
    "inputs": [local("in.txt")],
    "outputs": [local("out.txt")],
    "resources": {"mem_mb": 100},
    "container": "docker://debian:12",
}
KEY = JobKey("0" * 16, "a" * 32)


def planned(**changes: Any) -> JobPlan:
    return plan(**(USUAL | changes))


def key(job: JobPlan, **changes: Any) -> JobKey:
    values: dict[str, Any] = {"job": "0" * 16, "code": "", "sources": "s", "contents": CONTENTS}
    return job_key(job, **(values | changes))


def task(task_id: str, status: str, key: JobKey = KEY, attempt: int = 1) -> Task:
    mark = TaskMark("20260101-000000-abcdef", "7", attempt, key)
    return Task(id=task_id, status=status, description=f"{mark}: align. Runs in direct mode.")


def leftover(task_id: str, status: str, key: JobKey = KEY, attempt: int = 1) -> Leftover:
    mark = task_mark_of(found := task(task_id, status, key, attempt))
    assert mark is not None
    return Leftover(found, mark)


def test_the_same_job_has_the_same_key_whatever_its_number_and_attempt() -> None:
    """Job numbers differ between runs, and a later attempt has the same result."""
    assert key(planned()) == key(planned(jobid="12", attempt=3))


def test_copies_have_one_key_whoever_asks_for_them() -> None:
    """A run that is taken up with another limit goes on with the same jobs."""
    inputs = [local("in.txt", size=GB)]
    usual = key(planned(inputs=inputs))
    assert usual == key(planned(inputs=inputs, defaults={"copy_up_to": 2 * GB}))
    for wanted in ({"defaults": {"inputs": "copy"}}, {"copies_inputs": True}):
        assert usual == key(planned(inputs=inputs, **wanted))
    assert usual != key(planned(inputs=inputs, defaults={"inputs": "link"}))


def test_the_key_does_not_depend_on_where_the_working_directory_is() -> None:
    jobs = [
        planned(
            command=f"sort {WORKDIR_PLACEHOLDER}/in.txt > {WORKDIR_PLACEHOLDER}/out.txt",
            inputs=[WorkflowFile("in.txt", "in.txt", LocalPath(f"{folder}/in.txt"))],
            outputs=[WorkflowFile("out.txt", "out.txt", LocalPath(f"{folder}/out.txt"))],
        )
        for folder in ("/one", "/another")
    ]
    contents = {LocalPath(f"{one}/in.txt"): "file-1" for one in ("/one", "/another")}
    assert len({key(job, contents=contents) for job in jobs}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "sort -r in.txt > out.txt"},
        {"container": "docker://debian:13"},
        {"resources": {"mem_mb": 200}},
        {"threads": 2},
        {"outputs": [local("other.txt")]},
        {"defaults": {"environment": {"A": "1"}}},
    ],
    ids=str,
)
def test_another_job_has_another_key(changes: dict[str, Any]) -> None:
    """What changes the result, or what it runs on, must never be taken for the same."""
    assert key(planned(**changes)) != key(planned())


def test_another_script_makes_another_key() -> None:
    """Its parameters and configuration stand in its text."""
    keys = {
        key(planned(command=None, directive="script", script=PreparedScript(*values)))
        for values in ((Language.R, "s.R", "1"), (Language.R, "s.R", "2"), (Language.R, "t.R", "1"))
    }
    assert len(keys) == 3


def test_another_input_file_or_other_sources_make_another_key() -> None:
    """A file that was made anew has another id; a helper script is part of the sources."""
    assert key(planned(), contents={LocalPath("in.txt"): "file-2"}) != key(planned())
    assert key(planned(), sources="t") != key(planned())


def test_the_code_counts_where_the_command_does_not_tell() -> None:
    direct, snakemake = planned(), planned(resources={"cavatica_mode": "snakemake"})
    assert key(direct, code="x") == key(direct)
    assert key(snakemake, code="x") != key(snakemake)


def test_a_job_on_spot_and_on_demand_is_the_same_job() -> None:
    """Else the second task of a job that lost its spot instance would not be known again."""
    spot = planned(resources={"mem_mb": 100, "cavatica_interruptible": True})
    assert key(spot) == key(planned())


def test_whether_a_job_is_measured_makes_no_other_job_of_it() -> None:
    """Neither the setting nor this part of the script keeps tasks from being taken up."""
    for changes in ({}, {"benchmark": local("b.tsv"), "defaults": {"mode": "direct"}}):
        defaults = {**changes.get("defaults", {}), "measured": False}
        assert key(planned(**changes)) == key(planned(**{**changes, "defaults": defaults}))


def test_how_files_travel_makes_no_other_job_of_it() -> None:
    """The number of the job stands in the script that gathers outputs, and differs between runs."""
    outputs = [local("out.txt"), local("more.txt")]
    for changes in ({"jobid": "12"}, {"defaults": {"parcel_up_to": 0}}):
        assert key(planned(outputs=outputs, **changes)) == key(planned(outputs=outputs))


def test_a_mark_is_read_as_it_was_written() -> None:
    found = task_mark_of(task("t", "RUNNING", attempt=2))
    assert found == TaskMark("20260101-000000-abcdef", "7", 2, KEY)
    assert run_of(task("t", "RUNNING")) == "20260101-000000-abcdef"


@pytest.mark.parametrize("description", ["", "Snakemake run x, job 1, attempt 1: old", "Snakemake"])
def test_other_tasks_have_no_mark(description: str) -> None:
    """Tasks of people, of other programs, and of older versions of the plugin."""
    assert task_mark_of(Task(id="t", status="RUNNING", description=description)) is None


def test_a_leftover_is_claimed_once_and_the_best_one_first() -> None:
    leftovers = Leftovers()
    for one in (
        leftover("draft", "DRAFT"),
        leftover("done", "COMPLETED"),
        leftover("live", "RUNNING"),
    ):
        leftovers.add(one)
    claimed = [leftovers.claim(KEY) for _ in range(4)]
    assert [one.task.id if one else None for one in claimed] == ["done", "live", "draft", None]


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "ABORTING"])
def test_a_failed_task_is_nobodys_leftover(status: str) -> None:
    leftovers = Leftovers()
    leftovers.add(leftover("t", status))
    assert leftovers.claim(KEY) is None


def test_what_a_changed_job_leaves_is_superseded_and_that_of_other_jobs_is_not() -> None:
    leftovers = Leftovers()
    leftovers.add(leftover("old", "RUNNING", JobKey("0" * 16, "b" * 32), attempt=2))
    leftovers.add(leftover("other", "RUNNING", JobKey("1" * 16, "a" * 32)))
    assert leftovers.attempt("0" * 16) == 2
    assert leftovers.claim(KEY) is None
    assert [one.id for one in leftovers.superseded(KEY)] == ["old"]
    assert [one.task.id for one in leftovers.left] == ["other"]
