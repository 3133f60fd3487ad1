"""What a run may cost: once that is reached no task is started, and the run goes on with more.

`CAVATICA_COST_RUNS=100 python -m pytest tests/workflow/test_max_cost.py -k random` tries so many
random runs.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from workflow_runs import Platform, Workflow, new_workflow, until

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.observe.entries import Status
from snakemake_executor_cavatica.observe.record import Record, find_record, read_record
from snakemake_executor_cavatica.translate.job_key import task_mark_of

RUNS = int(os.environ.get("CAVATICA_COST_RUNS", "1"))
ENDED = "The same command with a higher limit goes on from here."
REACHED = re.compile(
    r"The limit of --cavatica-max-cost (\S+) is reached: the tasks.* cost (\S+) USD"
)

JOBS = """
rule all:
    input: expand("end/{x}.txt", x=range(JOBS))
rule first:
    input: "in/{x}.txt"
    output: "first/{x}.txt"
    resources: mem_mb=1000
    shell: "cat {input} > {output}"
rule last:
    input: "first/{x}.txt"
    output: "end/{x}.txt"
    resources: mem_mb=1000
    shell: "cat {input} > {output}"
"""


def simulated(
    serve: Callable[..., Platform], folder: Path, behaviours: list[Any], *options: str
) -> Workflow:
    """A workflow on a platform where tasks only seem to run, and cost as if for much longer."""
    path = folder / "behaviours.json"
    path.write_text(json.dumps(behaviours))
    return new_workflow(folder, serve("--engine", "simulate", "--simulation", str(path), *options))


def with_jobs(workflow: Workflow, jobs: int) -> None:
    workflow.write({"Snakefile": JOBS.replace("JOBS", str(jobs))})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(jobs)})


def record_of(workflow: Workflow) -> Record:
    return read_record(find_record(workflow.directory))


@dataclass(frozen=True)
class Paid:
    """A task that was started, or the children of one."""

    created: float
    ended: float
    price: float


def paid_tasks(workflow: Workflow) -> list[Paid]:
    with workflow.platform.client() as client:
        listed = list(client.list_tasks(project=workflow.platform.project))
        parents = {task.id for task in listed if task.batch and task_mark_of(task) is None}
        children = [child for one in parents for child in client.list_tasks(parent=one)]
    return [_paid(task) for task in [*listed, *children] if task.id not in parents]


def _paid(task: Task) -> Paid:
    assert task.created_time is not None
    assert task.end_time is not None, task.status
    price = task.price.amount if task.price is not None else None
    return Paid(task.created_time.timestamp(), task.end_time.timestamp(), price or 0.0)


def starts(workflow: Workflow) -> list[float]:
    """When tasks were started, by the platform's log; of a batch once."""
    return [
        float(request["time"])
        for request in workflow.platform.requests()
        if request["path"].partition("?")[0].endswith("/actions/run")
    ]


LOOK = 2.0
"""Seconds from the end of a task until the run knows of it, and one more that the platform cuts."""


def not_passed(workflow: Workflow, limit: float) -> None:
    """Nothing was started once the limit was reached, and only what ran then has cost more."""
    tasks = paid_tasks(workflow)
    last = max(starts(workflow))
    known = sum(task.price for task in tasks if task.ended < last - LOOK)
    assert known < limit + 0.001, "a task was started when the limit had been reached"
    run = [one for one in record_of(workflow).runs if one.max_cost == limit][-1]
    if run.limit_reached is not None and run.ended is not None:
        late = [one for one in starts(workflow) if run.limit_reached + 1 < one < run.ended]
        assert not late, f"the limit was reached at {run.limit_reached}"
    total = sum(task.price for task in tasks)
    running = sum(task.price for task in tasks if task.ended >= last - LOOK)
    assert total < limit + running + 0.001


# ------------------------------------------------------------------------------------- by hand


def test_a_run_ends_at_its_limit_and_goes_on_with_a_higher_one(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    workflow = simulated(serve, tmp_path, [{"seconds": "1-2"}], "--price-hour", "2")
    with_jobs(workflow, 20)
    options = ["--jobs", "4", "--retries", "2", "--cavatica-max-cost"]
    result = workflow.fail(*options, "1")
    assert result.output.count(ENDED) == 1
    assert result.output.count("No further task is started; those that run finish.") == 1
    record = record_of(workflow)
    assert record.runs[0].outcome == "limit"
    assert {one.status for one in record.attempts} == {Status.DONE}
    not_passed(workflow, 1.0)

    again = workflow.fail(*options, "1")
    assert f"with those of the interrupted run {record.runs[0].id}, cost" in again.output
    assert record_of(workflow).attempts == record.attempts, "no task was started"

    workflow.succeed(*options, "100")
    record = record_of(workflow)
    assert [one.outcome for one in record.runs] == ["limit", "done"]
    assert len(record.attempts) == 40
    assert {(one.number, one.status) for one in record.attempts} == {(1, Status.DONE)}
    assert workflow.run().nothing_to_do


def test_tasks_are_aborted_at_the_limit_if_that_is_wanted(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    behaviours = [{"task": "^first", "seconds": 1}, {"task": "^last", "seconds": 25}]
    workflow = simulated(serve, tmp_path, behaviours, "--price-hour", "10")
    with_jobs(workflow, 3)
    options = ["--jobs", "3", "--cavatica-max-cost-abort", "--cavatica-max-cost"]
    result = workflow.fail(*options, "0.4")
    assert "those that run are aborted" in result.output
    assert result.output.count(ENDED) == 1
    record = record_of(workflow)
    assert record.runs[0].outcome == "limit"
    ends = {(one.rule, one.status) for one in record.attempts}
    assert ends == {("first", Status.DONE), ("last", Status.CANCELLED)}
    assert sum(one.price or 0.0 for one in record.attempts) < 1.0
    assert "Error in rule" not in result.output

    workflow.succeed(*options, "50")
    assert workflow.run().nothing_to_do


@pytest.mark.parametrize("sharing", [(), ("--cavatica-pack", "2")], ids=["alone", "packed"])
def test_a_task_that_was_being_made_when_the_limit_was_reached_is_not_started(
    serve: Callable[..., Platform], tmp_path: Path, sharing: tuple[str, ...]
) -> None:
    """The platform takes its time for one draft; meanwhile the other task has cost too much."""
    workflow = simulated(serve, tmp_path, [{"seconds": 1}], "--price-hour", "1")
    with_jobs(workflow, 4 if sharing else 2)
    workflow.platform.inject(
        {"do": "delay", "method": "POST", "path": r"/tasks(\?|$)", "seconds": 12, "times": 1}
    )
    result = workflow.fail("--jobs", "4", "--cavatica-max-cost", "0.01", *sharing)
    assert result.output.count(ENDED) == 1
    assert len(starts(workflow)) == 1
    with workflow.platform.client() as client:
        tasks = client.list_tasks(project=workflow.platform.project)
        assert [task.status for task in tasks] == ["COMPLETED"], "the draft is removed"
    workflow.succeed("--jobs", "4", "--cavatica-max-cost", "100", *sharing)


def test_a_rule_has_a_limit_of_its_own(serve: Callable[..., Platform], tmp_path: Path) -> None:
    workflow = simulated(serve, tmp_path, [{"seconds": 1}], "--price-hour", "2")
    with_jobs(workflow, 8)
    options = ["--jobs", "2", "--set-resources"]
    result = workflow.fail(*options, "last:cavatica_max_cost='0.25'")
    assert "Rule last has reached its limit: its tasks have cost" in result.output
    assert result.output.count(ENDED) == 1
    rules = [one.rule for one in record_of(workflow).attempts]
    assert 2 <= rules.count("last") <= 5
    workflow.succeed(*options, "last:cavatica_max_cost=25")


def test_a_limit_that_is_never_reached_changes_nothing(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    workflow = simulated(serve, tmp_path, [{"seconds": 1}], "--price-hour", "2")
    with_jobs(workflow, 4)
    result = workflow.succeed("--cavatica-max-cost", "100")
    assert "The limit of" not in result.output
    assert record_of(workflow).runs[0].max_cost == 100


def test_what_costs_nothing_is_taken_also_at_the_limit(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """Results of earlier runs; what would have to run does not."""
    workflow = new_workflow(tmp_path, serve("--price-hour", "1"))
    with_jobs(workflow, 2)
    workflow.succeed()
    (tmp_path / "colleague").mkdir()
    colleague = new_workflow(tmp_path / "colleague", workflow.platform)
    with_jobs(colleague, 3)
    colleague.fail("--cavatica-max-cost", "0.01", "end/2.txt")
    before = len(workflow.platform.executions())
    result = colleague.fail("--cavatica-max-cost", "0.01", "--cavatica-reuse")
    assert result.output.count(ENDED) == 1
    assert [colleague.read(f"end/{x}.txt") for x in range(3)] == ["0\n", "1\n", None]
    assert len(workflow.platform.executions()) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cavatica-max-cost", "5 USD"], "--cavatica-max-cost '5 USD' is no amount of money"),
        (["--cavatica-trace", "."], "--cavatica-trace . is a folder; name a file."),
        (["--cavatica-trace", "no/x"], "--cavatica-trace no/x is in a folder that does not exist"),
        (
            ["--set-resources", "first:cavatica_max_cost='much'"],
            "resource cavatica_max_cost='much' is no amount of money",
        ),
    ],
)
def test_what_is_no_limit_is_refused_in_one_sentence(
    own_transfer: Workflow, arguments: list[str], told: str
) -> None:
    with_jobs(own_transfer, 1)
    result = own_transfer.fail(*arguments)
    assert told in result.output
    assert not own_transfer.platform.executions()


# ----------------------------------------------------------------------------------- at random


@dataclass(frozen=True)
class Scenario:
    """A run that a number stands for."""

    jobs: int
    limit: float
    behaviours: list[Any]
    server: list[str]
    options: list[str]
    killed: bool

    @classmethod
    def of(cls, seed: int) -> Scenario:
        dice = random.Random(seed)
        longest = dice.choice([1, 2, 4])
        behaviour = {
            "seconds": f"0.5-{longest}",
            "fails": dice.choice([0, 0, 0.1]),
            "spot_loss": dice.choice([0, 0, 0.2]),
        }
        shared = dice.choice([[], [], ["--cavatica-batch", "auto"], ["--cavatica-pack", "3"]])
        options = [*shared, "--retries", "6", "--jobs", str(dice.choice([2, 4, 8, 50]))]
        options += dice.choice([[], [], ["--cavatica-max-cost-abort"]])
        server = ["--price-hour", str(dice.choice([2, 5])), "--fault-seed", str(seed)]
        server += ["--instances", str(dice.choice([3, 80]))]
        return cls(
            jobs=dice.randint(5, 20),
            limit=dice.choice([0.1, 0.3, 1.0, 2.0]),
            behaviours=[behaviour],
            server=server,
            options=options,
            killed=dice.random() < 0.2,
        )


@pytest.mark.parametrize("seed", range(RUNS))
def test_random_runs_pass_no_limit_by_more_than_what_ran(
    serve: Callable[..., Platform], tmp_path: Path, seed: int
) -> None:
    chosen = Scenario.of(seed)
    print(chosen)
    workflow = simulated(serve, tmp_path, chosen.behaviours, *chosen.server)
    with_jobs(workflow, chosen.jobs)
    limited = [*chosen.options, "--cavatica-max-cost", str(chosen.limit)]
    if chosen.killed:
        kill_in_the_middle(workflow, limited)
    result = workflow.run(*limited, timeout=240)
    assert "Traceback" not in result.output, result.output
    not_passed(workflow, chosen.limit)
    if result.status != 0:
        assert result.output.count(ENDED) == 1, result.output
        assert record_of(workflow).runs[-1].outcome == "limit"
        resumed = workflow.run(*chosen.options, "--cavatica-max-cost", "1000", timeout=240)
        assert resumed.status == 0, resumed.output
    assert workflow.run().nothing_to_do
    record = record_of(workflow)
    total = sum(one.price or 0.0 for one in record.attempts)
    assert total == pytest.approx(sum(one.price for one in paid_tasks(workflow)))


def kill_in_the_middle(workflow: Workflow, options: list[str]) -> None:
    process = workflow.start(*options)
    reader = threading.Thread(target=process.communicate)
    reader.start()
    until(lambda: process.poll() is not None or len(workflow.platform.executions()) >= 3)
    process.kill()
    reader.join()
