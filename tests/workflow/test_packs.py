"""Short jobs that share a task."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Workflow, until

from snakemake_executor_cavatica.api import Task

MIXED = """
rule all:
    input: expand("{x}/out.txt", x=range(5)), expand("none/{x}.txt", x=range(4))
rule some:
    input: own="in/{x}.txt", shared="shared.txt"
    output: "{x}/out.txt"
    log: "logs/{x}.log"
    shell: "cat {input.own} {input.shared} > {output}; echo {wildcards.x} > {log}"
rule none:
    output: "none/{x}.txt"
    shell: "echo {wildcards.x} > {output}"
"""


def tasks(workflow: Workflow) -> list[Task]:
    with workflow.platform.client() as client:
        return list(client.list_tasks(project=workflow.platform.project))


@pytest.fixture
def own(tmp_path: Path, fresh: Platform, place: DataPlace) -> Workflow:
    """A workflow in a project of its own, whose records hold nothing else."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, fresh, place)


def test_jobs_with_and_without_inputs_share_tasks(own: Workflow) -> None:
    own.write({"Snakefile": MIXED})
    own.put({f"in/{x}.txt": f"{x}\n" for x in range(5)} | {"shared.txt": "shared\n"})
    own.succeed("--cavatica-pack", "4")
    names = sorted(task.name.partition(" ")[0] for task in tasks(own))
    assert names == ["none", "some", "some"], "the fifth job is left over"
    for x in range(5):
        assert own.read(f"{x}/out.txt") == f"{x}\nshared\n"
        assert own.read(f"logs/{x}.log") == f"{x}\n"
    assert [own.read(f"none/{x}.txt") for x in range(4)] == ["0\n", "1\n", "2\n", "3\n"]
    assert own.run("--cavatica-pack", "4").nothing_to_do


FLAKY = """
rule all:
    input: expand("out/{x}.txt", x=range(6))
rule one:
    output: "out/{x}.txt", folder=directory("folders/{x}")
    log: "logs/{x}.log"
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell:
        "echo said {wildcards.x} > {log}; echo hello from {wildcards.x} >&2; "
        "[ {wildcards.x} != 2 ] || [ {resources.mem_mb} -gt 100 ]; "
        "[ {wildcards.x} != 3 ] || [ {resources.mem_mb} -gt 100 ] || exit 0; "
        "mkdir -p {output.folder}; echo {wildcards.x} > {output[0]}"
"""


def test_a_job_that_fails_fails_alone_and_is_tried_again_alone(own: Workflow) -> None:
    own.write({"Snakefile": FLAKY})
    result = own.succeed("--cavatica-pack", "10", "--retries", "1")
    assert sorted(task.name for task in tasks(own)) == ["one [6 jobs]", "one [x=2]", "one [x=3]"]
    assert "one [x=2]: the command failed with exit status 1" in result.output, result.output
    assert "hello from 2" in result.output
    assert "hello from 1" not in result.output
    assert "MissingOutputException: the command succeeded, but did not make" in result.output
    assert [own.read(f"out/{x}.txt") for x in range(6)] == [f"{x}\n" for x in range(6)]
    assert own.run("--cavatica-pack", "10").nothing_to_do


BLAMELESS = """
rule all:
    input: expand("out/{x}.txt", x=range(6))
rule one:
    output: "out/{x}.txt"
    shell: "sleep 2; echo {wildcards.x} > {output}"
"""


@pytest.mark.parametrize("fault", ["interrupt-task", "fail-task"])
def test_jobs_whose_task_is_lost_without_their_fault_share_one_again(
    own: Workflow, fault: str
) -> None:
    """Six instances would be started in the place of one."""
    own.write({"Snakefile": BLAMELESS})
    own.platform.inject({"do": fault, "task": "6 jobs", "seconds": 0.5, "times": 1})
    own.succeed("--cavatica-pack", "10", "--preemptible-rules", "--retries", "0")
    ended = [(task.name, task.status) for task in tasks(own)]
    assert sorted(ended) == [("one [6 jobs]", "COMPLETED"), ("one [6 jobs]", "FAILED")]
    assert [own.read(f"out/{x}.txt") for x in range(6)] == [f"{x}\n" for x in range(6)]
    assert own.run("--cavatica-pack", "10").nothing_to_do


@pytest.mark.both_places
def test_the_log_of_a_failed_job_of_a_pack_arrives(own: Workflow) -> None:
    own.write({"Snakefile": FLAKY})
    result = own.fail("--cavatica-pack", "10", "--keep-going")
    assert "hello from 2" in result.output
    assert "hello from 4" not in result.output
    if own.place == "transfer":
        assert own.read("logs/2.log") == "said 2\n"
    assert own.read("out/2.txt") is None
    assert own.read("out/4.txt") == "4\n"


SLOW = """
rule all:
    input: expand("out/{x}.txt", x=range(3))
rule one:
    output: "out/{x}.txt"
    shell: "sleep 5; echo {wildcards.x} > {output}"
"""


def until_running(workflow: Workflow) -> None:
    until(lambda: [task.status for task in tasks(workflow)] == ["RUNNING"])


def test_a_pack_of_a_killed_run_is_taken_up_by_all_of_its_jobs(own: Workflow) -> None:
    own.write({"Snakefile": SLOW})
    process = own.start("--cavatica-pack", "3")
    until_running(own)
    process.kill()
    process.communicate(timeout=30)
    result = own.succeed("--cavatica-pack", "3")
    assert result.output.count("of the earlier run") >= 3
    assert len(own.platform.executions()) == 1
    assert [own.read(f"out/{x}.txt") for x in range(3)] == ["0\n", "1\n", "2\n"]
    assert own.run().nothing_to_do


def start_late(seconds: float) -> dict[str, object]:
    """The request that starts a task takes so long to get to it."""
    return {"method": "POST", "path": "/actions/run$", "do": "delay", "seconds": seconds}


def test_a_pack_whose_start_was_on_its_way_at_a_kill_does_not_start_any_more(own: Workflow) -> None:
    """Its jobs start anew: if it started as well, they would run twice."""
    own.write({"Snakefile": SLOW})
    own.platform.inject(start_late(8) | {"times": 1})
    process = own.start("--cavatica-pack", "3")
    until(lambda: any("/actions/run" in one["path"] for one in own.platform.requests()))
    process.kill()
    process.communicate(timeout=30)
    own.succeed("--cavatica-pack", "3")
    until(lambda: all(one["status"] or one["fault"] is None for one in own.platform.requests()))
    assert [task.status for task in tasks(own)] == ["COMPLETED"]
    assert len(own.platform.executions()) == 1


def test_a_pack_that_starts_while_its_draft_is_to_be_deleted_is_taken_up(own: Workflow) -> None:
    """Deleting it comes too late, and tells so."""
    own.write({"Snakefile": SLOW})
    late = {"method": "DELETE", "path": "/v2/tasks/", "do": "delay", "seconds": 16, "times": 1}
    own.platform.inject(start_late(12) | {"times": 1}, late)  # a busy machine begins a run in 10
    process = own.start("--cavatica-pack", "3")
    until(lambda: any("/actions/run" in one["path"] for one in own.platform.requests()))
    process.kill()
    process.communicate(timeout=30)
    result = own.succeed("--cavatica-pack", "3")
    assert result.output.count("of the earlier run") >= 3
    assert len(own.platform.executions()) == 1


def test_ctrl_c_aborts_a_pack(own: Workflow) -> None:
    own.write({"Snakefile": SLOW})
    process = own.start("--cavatica-pack", "3")
    until_running(own)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output, output
    assert "not known whether" not in output
    assert [task.status for task in tasks(own)] == ["ABORTED"]
    own.succeed("--cavatica-pack", "3")


def test_what_can_be_batched_is_batched_and_groups_work_beside_packs(own: Workflow) -> None:
    own.write({"Snakefile": MIXED})
    own.put({f"in/{x}.txt": f"{x}\n" for x in range(5)} | {"shared.txt": "shared\n"})
    own.succeed(
        "--cavatica-pack",
        "2",
        "--cavatica-batch",
        "auto",
        "--groups",
        "none=g",
        "--group-components",
        "g=2",
    )
    assert sum(task.batch for task in tasks(own)) == 1
    assert [own.read(f"none/{x}.txt") for x in range(4)] == ["0\n", "1\n", "2\n", "3\n"]
    assert own.read("3/out.txt") == "3\nshared\n"
    assert own.run().nothing_to_do
