"""The record of a run says what the platform says: every attempt once, with its times and price."""

from __future__ import annotations

import collections
import csv
import json
import re
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from workflow_runs import DataPlace, Platform, Workflow, new_workflow, until

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.record import (
    Record,
    UnreadableRecord,
    find_record,
    read_record,
)
from snakemake_executor_cavatica.translate.job_key import number_of_jobs, task_mark_of
from snakemake_executor_cavatica.translate.shared_task import task_id_of

CUT = 1.01
"""Seconds: the platform cuts off its times, and counts how long a task ran in thousandths."""

PLUGINS = Path(__file__).with_name("plugins")

MIXED = """
ALONE, TOGETHER, PACKED = range(90), range(60), range(40)
rule all:
    input:
        expand("alone/{x}.txt", x=ALONE),
        expand("together/{x}.txt", x=TOGETHER),
        expand("packed/{x}.txt", x=PACKED),
        "refused.txt"
rule alone:
    output: "alone/{x}.txt"
    resources: mem_mb=lambda wildcards, attempt: 1000 * attempt
    shell: "true > {output}"
rule together:
    input: "in/{x}.txt"
    output: "together/{x}.txt"
    resources: cavatica_batch="auto"
    shell: "cat {input} > {output}"
rule packed:
    output: "packed/{x}.txt"
    resources: cavatica_pack=10
    shell: "true > {output}"
rule refused:
    output: "refused.txt"
    container: "library://an/image:1"
    shell: "true > {output}"
"""
BEHAVIOURS = [
    {"task": "^alone", "seconds": "1-4", "fails": 0.1, "spot_loss": 0.15, "memory_mb": "100-1500"},
    {"task": "^together", "seconds": "1-4", "fails": 0.05, "spot_loss": 0.1},
    {"task": "^packed", "seconds": "2-4", "spot_loss": 0.3},
]


def record_of(workflow: Workflow) -> Record:
    """What the runs in a directory have left."""
    return read_record(find_record(workflow.directory))


def attempts_so_far(workflow: Workflow) -> list[Attempt]:
    try:
        return list(record_of(workflow).attempts)
    except UnreadableRecord:
        return []


def done_so_far(workflow: Workflow) -> int:
    return sum(one.status is Status.DONE for one in attempts_so_far(workflow))


def all_tasks(workflow: Workflow) -> dict[str, Task]:
    """Every task of the project that was ever started, children instead of batches."""
    with workflow.platform.client() as client:
        listed = list(client.list_tasks(project=workflow.platform.project))
        parents = [task for task in listed if task.batch and task_mark_of(task) is None]
        children = [child for one in parents for child in client.list_tasks(parent=one.id)]
    return {task.id: task for task in [*listed, *children] if task not in parents}


def by_task(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    found = collections.defaultdict(list)
    for one in attempts:
        if one.task is not None:
            found[task_id_of(one.task)].append(one)
    return found


def price_of(task: Task) -> float:
    assert task.price is not None
    assert task.price.amount is not None
    return task.price.amount


@pytest.fixture
def simulated(serve: Callable[..., Platform], tmp_path: Path) -> Workflow:
    behaviours = tmp_path / "behaviours.json"
    behaviours.write_text(json.dumps(BEHAVIOURS))
    options = ["--engine", "simulate", "--simulation", str(behaviours), "--fault-seed", "11"]
    return new_workflow(tmp_path, serve(*options, "--price-hour", "20", "--instances", "60"))


def test_a_run_of_200_jobs_that_is_killed_and_resumed_is_on_record_in_full(
    simulated: Workflow,
) -> None:
    workflow = simulated
    workflow.write({"Snakefile": MIXED})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(60)})
    options = ["--jobs", "200", "--retries", "4", "--keep-going", "--cavatica-trace", "trace.tsv"]
    killed = workflow.start(*options)
    reader = threading.Thread(target=killed.communicate)
    reader.start()
    until(lambda: done_so_far(workflow) >= 60)
    killed.kill()
    reader.join()
    assert not (workflow.directory / "trace.tsv").exists()
    result = workflow.run(*options)
    assert "Traceback" not in result.output, result.output

    record = record_of(workflow)
    assert len(record.remarks) <= 1, "a line may be cut short by the kill"
    first, second = record.runs
    assert (first.outcome, second.outcome) == ("", "failed"), "one rule is refused"
    tasks, attempts = all_tasks(workflow), by_task(record.attempts)
    assert attempts.keys() == tasks.keys()
    for task_id, task in tasks.items():
        same_as_on_the_platform(task, attempts[task_id])
    same_as_executed(workflow.platform.executions(), attempts)
    assert sum(one.price or 0 for one in record.attempts) == pytest.approx(
        sum(map(price_of, tasks.values()))
    )
    all_that_was_to_be_tried(record)
    told_at_the_end(result.output, record)
    traced(workflow.directory / "trace.tsv", record)


def same_as_on_the_platform(task: Task, attempts: list[Attempt]) -> None:
    jobs = 1 if task.parent else number_of_jobs(task)
    assert len(attempts) == jobs, "every attempt once"
    assert sum(one.price or 0 for one in attempts) == pytest.approx(price_of(task))
    counts = task.execution_status
    assert counts is not None
    for one in attempts:
        assert one.status is {"COMPLETED": Status.DONE, "FAILED": Status.FAILED}[task.status]
        assert one.currency == "USD"
        assert one.spot == task.use_interruptible_instances
        assert one.app == task.app
        assert task.end_time is not None
        assert one.ended == task.end_time.timestamp()
        assert one.run_seconds == pytest.approx((counts.running_duration or 0) / 1000, abs=0.001)
        assert one.queue_seconds == pytest.approx((counts.queued_duration or 0) / 1000, abs=0.001)
        assert one.parent == (task.parent if one.task == task.id else task.id)


def same_as_executed(executions: list[dict[str, Any]], attempts: dict[str, list[Attempt]]) -> None:
    assert {one["task"] for one in executions} == attempts.keys()
    assert len(executions) == len(attempts), "the simulated platform starts a task once"
    for one in executions:
        for attempt in attempts[one["task"]]:
            assert attempt.started == pytest.approx(one["start"], abs=CUT)
            # When its outputs are stored, a while after its command has ended.
            assert attempt.ended >= one["end"] - CUT


def all_that_was_to_be_tried(record: Record) -> None:
    """The test shows what it says only if all of it has happened."""
    attempts = record.attempts
    reasons = collections.Counter(one.reason for one in attempts)
    print(reasons, collections.Counter((one.shared, str(one.status)) for one in attempts))
    assert {"command", "out_of_memory", "spot_loss"} <= reasons.keys()
    assert {one.shared for one in attempts} == {"", "batch", "pack"}
    assert any(one.taken_up_by == record.runs[1].id for one in attempts)
    refused = [one for one in attempts if one.rule == "refused"]
    assert {one.reason for one in refused} == {"not_submitted"}
    assert [one.number for one in refused if one.run == record.runs[1].id] == [1, 2, 3, 4, 5]
    assert not any(one.task or one.price for one in refused)
    done = collections.Counter(one.rule for one in attempts if one.status is Status.DONE)
    assert done == {"alone": 90, "together": 60, "packed": 40}


def told_at_the_end(output: str, record: Record) -> None:
    total = sum(one.price or 0 for one in record.attempts)
    assert f"Cost: {total:.2f} USD, of which " in output
    assert "CAVATICA: jobs: 190 done, 1 failed, " in output
    assert f"Record: {record.folder}; trace: " in output
    assert f"of the interrupted run {record.runs[0].id}" not in output, "there was no limit"


def traced(path: Path, record: Record) -> None:
    rows = list(csv.DictReader(path.open(), delimiter="\t"))
    assert [row["native_id"] for row in rows] == [one.task or "-" for one in record.attempts]
    assert {row["status"] for row in rows} == {"COMPLETED", "FAILED"}


# --------------------------------------------------------------------------- how runs may end


FEW = """
rule all:
    input: expand("{x}.txt", x=range(4))
rule one:
    output: "{x}.txt"
    shell: "sleep $((3 * {wildcards.x})); echo {wildcards.x} > {output}"
"""
PRICED = ("--price-hour", "2", "--host-cores", "8")


@pytest.fixture
def priced(serve: Callable[..., Platform], tmp_path: Path, place: DataPlace) -> Workflow:
    """On a platform on which a second costs something, and everything is really executed."""
    workflow = new_workflow(tmp_path, serve(*PRICED), place)
    workflow.write({"Snakefile": FEW})
    return workflow


def statuses(record: Record) -> dict[str, str]:
    return {one.wildcards["x"]: str(one.status) for one in record.attempts}


def runs_the_longest(workflow: Workflow) -> bool:
    """Whether the longest of the jobs is known to run."""
    running = [one for one in attempts_so_far(workflow) if one.status is Status.RUNNING]
    return any(one.wildcards["x"] == "3" for one in running)


def priced_as_on_the_platform(workflow: Workflow, record: Record) -> None:
    tasks, attempts = all_tasks(workflow), by_task(record.attempts)
    assert attempts.keys() == tasks.keys()
    for task_id, task in tasks.items():
        [one] = attempts[task_id]
        assert one.price == pytest.approx(price_of(task))


def test_tasks_that_were_aborted_are_told_as_that_and_the_next_run_goes_on(
    priced: Workflow,
) -> None:
    process = priced.start()
    until(lambda: runs_the_longest(priced))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "CAVATICA: jobs: " in output
    record = record_of(priced)
    assert record.runs[0].outcome == "cancelled"
    assert statuses(record)["3"] == "cancelled"
    assert all(one.status.is_over for one in record.attempts)
    priced_as_on_the_platform(priced, record)

    priced.succeed()
    resumed = record_of(priced)
    assert [one.outcome for one in resumed.runs] == ["cancelled", "done"]
    assert [one.id for one in resumed.attempts[:4]] == [one.id for one in record.attempts]
    assert set(statuses(resumed).values()) == {"done"}
    priced_as_on_the_platform(priced, resumed)


def test_tasks_that_were_left_running_are_the_same_attempts_in_the_next_run(
    priced: Workflow,
) -> None:
    process = priced.start("--cavatica-detach")
    until(lambda: runs_the_longest(priced))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    record = record_of(priced)
    assert record.runs[0].outcome == "detached"
    assert statuses(record)["3"] == "left"

    priced.succeed()
    resumed = record_of(priced)
    assert [one.id for one in resumed.attempts] == [one.id for one in record.attempts]
    assert set(statuses(resumed).values()) == {"done"}
    last = next(one for one in resumed.attempts if one.wildcards["x"] == "3")
    assert (last.run, last.taken_up_by) == (resumed.runs[0].id, resumed.runs[1].id)
    priced_as_on_the_platform(priced, resumed)


def test_another_machine_begins_its_record_with_what_the_platform_knows(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    workflow = new_workflow(tmp_path, serve(*PRICED), "storage")
    workflow.write({"Snakefile": FEW})
    process = workflow.start()
    until(lambda: done_so_far(workflow) >= 1)
    process.kill()
    process.communicate()
    first = record_of(workflow).runs[0]
    shutil.rmtree(workflow.directory / ".snakemake")
    workflow.succeed()
    record = record_of(workflow)
    assert [one.outcome for one in record.runs] == ["done"]
    assert {one.rule for one in record.attempts} == {"one"}
    assert set(statuses(record).values()) == {"done"}
    assert any(one.run == first.id for one in record.attempts)
    priced_as_on_the_platform(workflow, record)


def test_a_run_that_has_nothing_to_do_leaves_no_record(priced: Workflow) -> None:
    priced.succeed("0.txt")
    before = record_of(priced)
    again = priced.run("0.txt")
    assert again.nothing_to_do
    assert "CAVATICA: jobs:" not in again.output
    assert record_of(priced) == before


def test_a_full_disk_ends_no_run(own_transfer: Workflow) -> None:
    workflow = own_transfer
    workflow.write({"Snakefile": FEW})
    (workflow.directory / ".snakemake/cavatica").mkdir(parents=True)
    (workflow.directory / ".snakemake/cavatica/runs").touch()
    result = workflow.succeed()
    assert result.output.count("The record of this run, ") == 1
    assert "CAVATICA: jobs: 4 done" in result.output


# ----------------------------------------------------------------------------- kinds of jobs


KINDS = """
rule all:
    input: "grouped.txt", "made.txt", "kept.txt"
rule first:
    output: temp("first.txt")
    group: "both"
    shell: "echo first > {output}"
rule second:
    input: "first.txt"
    output: "grouped.txt"
    group: "both"
    shell: "cat {input} > {output}"
rule made:
    output: "made.txt"
    conda: "environment.yaml"
    run: shell("echo made > {output}")
rule kept:
    output: "kept.txt"
    cache: True
    shell: "echo kept > {output}"
"""


def test_groups_environments_and_results_from_the_cache_are_on_record(
    conda: Path, serve: Callable[..., Platform], tmp_path: Path
) -> None:
    workflow = new_workflow(tmp_path, serve())
    environment = f"# {uuid.uuid4()}\nchannels: [test]\ndependencies: [nothing]\n"
    workflow.write({"Snakefile": KINDS, "environment.yaml": environment})
    options = ["--software-deployment-method", "conda", "--cache"]
    cache = {"SNAKEMAKE_OUTPUT_CACHE": str(tmp_path / "cache")}
    (tmp_path / "cache").mkdir()
    states = tmp_path / "states.jsonl"
    logger = ["--logger", "states", "--logger-states-file", str(states)]
    environ = {**cache, "PYTHONPATH": str(PLUGINS)}
    result = workflow.run(*options, *logger, environment=environ)
    assert result.status == 0, result.output
    (workflow.directory / "kept.txt").unlink()
    assert workflow.run(*options, environment=environ).status == 0

    [again] = record_of(workflow).attempts
    assert (again.rule, again.status, again.task, again.price) == ("kept", "reused", None, None)
    first = read_record(find_record(workflow.directory, ids(workflow)[0]))
    kinds = {one.rule: (one.kind, str(one.status)) for one in first.attempts}
    assert kinds == {
        "conda-environment": ("environment", "done"),
        "both": ("group", "done"),
        "made": ("job", "done"),
        "kept": ("job", "done"),
    }
    assert first.runs[0].jobs_by_rule == {"both": 1, "made": 1, "kept": 1}
    assert '"first" -> "second"' in first.runs[0].graph
    told(states, first)


def ids(workflow: Workflow) -> list[str]:
    return sorted(path.name for path in (workflow.directory / ".snakemake/cavatica/runs").iterdir())


def told(states: Path, record: Record) -> None:
    """What a logger plugin has heard: each job queued, then running or not seen so, then done."""
    phases = collections.defaultdict(list)
    for state in map(json.loads, states.read_text().splitlines()):
        assert (state["schema_version"], state["executor"]) == (2, "cavatica")
        phases[state["jobid"]].append(state["phase"])
        if state["phase"] == "succeeded":
            [one] = [one for one in record.attempts if one.task == state["external_jobid"]]
            assert (state["started_at"], state["stopped_at"]) == (one.started, one.ended)
    assert len(phases) == 4, "two jobs, and the two of the group"
    for seen in phases.values():
        assert (seen[0], seen[-1]) == ("queued", "succeeded")
        assert seen.count("succeeded") == 1
        assert set(seen) <= {"queued", "running", "succeeded"}


def test_an_upload_that_takes_long_tells_how_far_it_is(own_transfer: Workflow) -> None:
    workflow = own_transfer
    workflow.write(
        {
            "Snakefile": """
            rule count:
                input: "large.txt"
                output: "out.txt"
                shell: "wc -c < {input} > {output}"
            """
        }
    )
    workflow.put({"large.txt": f"{uuid.uuid4()}" * 40_000})
    workflow.platform.inject(
        {"do": "slow", "method": "PUT", "bytes_per_second": 100_000, "times": 1}
    )
    result = workflow.succeed()
    assert re.search(
        r"Uploading 1 file: \S+ [KM]iB of 1\.4 MiB at \S+ KiB/s, about \S+ s left", result.output
    ), result.output
