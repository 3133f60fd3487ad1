"""Trouble at every step of a task's life: it runs once, is never forgotten, and loses nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Workflow

from snakemake_executor_cavatica.project.index import ProjectIndex

ONE = """
rule a:
    output: "a.txt"
    shell: "sleep 2; echo made > {output}"
"""


@pytest.fixture
def own(tmp_path: Path, fresh: Platform, place: DataPlace) -> Workflow:
    """A workflow in a project of its own, where faults disturb nobody."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, fresh, place)


def statuses(workflow: Workflow) -> list[str]:
    with workflow.platform.client() as client:
        return [task.status for task in client.list_tasks(project=workflow.platform.project)]


def wait_until_running(workflow: Workflow, tasks: int = 1) -> None:
    deadline = time.monotonic() + 30
    while statuses(workflow).count("RUNNING") < tasks:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize("path", [".*/tasks$", ".*/actions/run$"])
@pytest.mark.parametrize("do", ["drop-before", "drop-after", "status"])
def test_a_lost_answer_never_makes_a_second_task_run(
    own_transfer: Workflow, path: str, do: str
) -> None:
    workflow = own_transfer
    workflow.write({"Snakefile": ONE})
    fault = {"method": "POST", "path": path, "do": do, "times": 1}
    if do == "status":
        fault |= {"status": 502, "code": 0}
    workflow.platform.inject(fault)
    workflow.succeed()
    assert statuses(workflow) == ["COMPLETED"], "no second task, no orphaned draft"
    assert len(workflow.platform.executions()) == 1
    sent = [one for one in workflow.platform.requests() if re.search(path, one["path"])]
    # What had its effect is not asked for again: a second draft would only be swept in the end.
    assert [one["method"] for one in sent].count("POST") == (1 if do == "drop-after" else 2)


@pytest.mark.parametrize("path", [".*/download_info$", "/storage/.*"])
def test_results_that_cannot_be_fetched_at_once_are_fetched_later(
    own_transfer: Workflow, path: str
) -> None:
    workflow = own_transfer
    workflow.write({"Snakefile": ONE})
    process = workflow.start("--retries", "1")
    wait_until_running(workflow)
    fault = {"method": "GET", "path": path, "do": "status", "status": 403, "code": 90002}
    workflow.platform.inject({**fault, "times": 2})
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    assert "Trying to restart" not in output, "the job has not failed"
    assert workflow.read("a.txt") == "made\n"
    assert len(workflow.platform.executions()) == 1


def test_an_updated_file_survives_results_that_cannot_be_put_in_place(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule a:
                output: update("log.txt")
                resources: cavatica_output_metadata="a=b"
                shell: "echo new >> {output}"
            """
        }
    )
    own.put({"log.txt": "old\n"})
    fault = {"method": "POST", "path": ".*/bulk/files/.*edit.*", "do": "status", "status": 403}
    own.platform.inject({**fault, "code": 90002})
    own.fail("--forceall")
    assert own.read("log.txt") == "old\n"


def test_ctrl_c_aborts_tasks_before_it_waits_for_uploads(own_transfer: Workflow) -> None:
    workflow = own_transfer
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "a.txt", "b.txt"
            rule long:
                output: "a.txt"
                shell: "sleep 60; touch {output}"
            rule uploading:
                input: "large.bin"
                output: "b.txt"
                shell: "touch {output}"
            """
        }
    )
    (workflow.directory / "large.bin").write_bytes(os.urandom(150_000_000))
    slow = {"method": "PUT", "path": "/storage/.*", "do": "delay", "seconds": 4}
    workflow.platform.inject(slow)
    process = workflow.start()
    wait_until_running(workflow)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    while statuses(workflow).count("RUNNING"):
        assert time.monotonic() - began < 5, "the task still runs"
        time.sleep(0.1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert set(statuses(workflow)) == {"ABORTED"}, output


def test_a_closed_terminal_aborts_the_tasks(own_transfer: Workflow) -> None:
    workflow = own_transfer
    workflow.write({"Snakefile": ONE.replace("sleep 2", "sleep 60")})
    process = workflow.start()
    wait_until_running(workflow)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert statuses(workflow) == ["ABORTED"]


def test_an_error_in_a_function_of_the_workflow_fails_its_job_only(
    own_transfer: Workflow,
) -> None:
    workflow = own_transfer
    workflow.write(
        {
            "Snakefile": """
            def checksum(wildcards):
                return open("nowhere").read()
            rule all:
                input: "a.txt", "b.txt"
            rule a:
                output: ensure("a.txt", sha256=checksum)
                shell: "touch {output}"
            rule b:
                output: "b.txt"
                shell: "sleep 2; touch {output}"
            """
        }
    )
    result = workflow.fail("--keep-going")
    assert "nowhere" in result.output
    assert workflow.read("b.txt") == ""


def test_a_file_that_a_local_rule_rewrites_is_used_as_it_is_now(own_transfer: Workflow) -> None:
    workflow = own_transfer
    workflow.write(
        {
            "Snakefile": """
            localrules: rewrite
            rule all:
                input: "before.txt", "after.txt"
            rule before:
                input: before_update("file.txt")
                output: "before.txt"
                shell: "cp {input} {output}"
            rule rewrite:
                input: "before.txt"
                output: update("file.txt")
                shell: "echo new > {output}"
            rule after:
                input: "file.txt"
                output: "after.txt"
                shell: "cp {input} {output}"
            """
        }
    )
    workflow.put({"file.txt": "old\n"})
    workflow.succeed()
    assert workflow.read("before.txt") == "old\n"
    assert workflow.read("after.txt") == "new\n"


def test_a_rule_that_takes_what_it_made_itself_does_no_round_again(
    own_transfer: Workflow, tmp_path: Path
) -> None:
    """In the task of a later round, an input of all rounds may be newer than what others made."""
    workflow, ran = own_transfer, tmp_path / "ran"
    workflow.write(
        {
            "Snakefile": f"""
            rule all:
                input: "2.out"
            rule count:
                input: "in.txt", lambda wildcards: [f"{{n}}.out" for n in range(int(wildcards.n))]
                output: "{{n}}.out"
                run:
                    shell("cat {{input}} > {{output}}; echo {{wildcards.n}} >> {ran}")
            """
        }
    )
    workflow.put({"in.txt": "x\n"})
    workflow.succeed()
    assert workflow.read("2.out") == "x\n" * 4
    assert ran.read_text().split() == ["0", "1", "2"]


def test_two_runs_in_one_project_share_their_uploads(own_transfer: Workflow) -> None:
    """Whether the second run lists the folder before the first one uploads to it, or after that."""
    first = own_transfer
    other = first.directory.parent / "other"
    other.mkdir()
    second = Workflow(other, first.platform, "transfer")
    snakefile = """
    rule all:
        input: expand("{x}.txt", x=range(6))
    rule one:
        input: "in.txt"
        output: "{x}.txt"
        shell: "cp {input} {output}"
    """
    for workflow in (first, second):
        workflow.write({"Snakefile": snakefile})
        workflow.put({"in.txt": "shared input\n"})
    processes = [workflow.start() for workflow in (first, second)]
    for process in processes:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0, output
    with first.platform.client() as client:
        index = ProjectIndex(client, first.platform.project)
        stored = [one.path.partition("-")[2] for one in index.children("snakemake/inputs")]
    assert sorted(stored) == ["in.txt", "sources.tar"]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_lost_spot_instance_is_no_failure(own_transfer: Workflow, retries: int) -> None:
    """On spot as often as --preemptible-retries says, then on demand; no attempt is used up."""
    workflow = own_transfer
    workflow.write({"Snakefile": ONE})
    fault = {"do": "interrupt-task", "task": "^a$", "seconds": 0.5, "times": retries + 1}
    workflow.platform.inject(fault)
    spot = ["--preemptible-rules", "a", "--preemptible-retries", str(retries)]
    result = workflow.succeed(*spot, "--retries", "0")
    assert "Trying to restart" not in result.output
    with workflow.platform.client() as client:
        tasks = client.list_tasks(
            project=workflow.platform.project, order_by="created_time", order="asc"
        )
        ended = [(task.status, task.use_interruptible_instances) for task in tasks]
    assert sorted(ended) == sorted([("FAILED", True)] * (retries + 1) + [("COMPLETED", False)])


@pytest.mark.parametrize(("faults", "retries"), [(1, 0), (3, 1)])
def test_a_fault_of_the_platform_is_tried_again_once_in_a_run(
    own_transfer: Workflow, faults: int, retries: int
) -> None:
    """Without using up an attempt; what comes again is left to `retries`."""
    workflow = own_transfer
    workflow.write({"Snakefile": ONE})
    fault = {"do": "fail-task", "task": "^a$", "seconds": 0.5, "times": faults}
    workflow.platform.inject(fault)
    result = (workflow.succeed if faults == 1 else workflow.fail)("--retries", str(retries))
    assert result.output.count("Trying again once, in 1 s.") == 1
    with workflow.platform.client() as client:
        states = [task.status for task in client.list_tasks(project=workflow.platform.project)]
    assert states.count("FAILED") == (1 if faults == 1 else 3)


@pytest.mark.parametrize("detach", [False, True])
def test_an_error_of_the_plugin_itself_leaves_nothing_running_in_silence(
    own_transfer: Workflow, tmp_path: Path, detach: bool
) -> None:
    """The polling breaks in a way that nobody has foreseen."""
    workflow = own_transfer
    workflow.write({"Snakefile": ONE.replace("sleep 2", "sleep 20")})
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib\n"
        "from snakemake_executor_cavatica.watch import poller\n"
        "right = poller.outcome\n"
        "def outcome(*arguments):\n"
        "    if pathlib.Path('broken').exists():\n"
        "        raise RuntimeError('planted')\n"
        "    return right(*arguments)\n"
        "poller.outcome = outcome\n"
    )
    process = workflow.start(
        *(["--cavatica-detach"] if detach else []), environment={"PYTHONPATH": str(tmp_path)}
    )
    wait_until_running(workflow)
    (workflow.directory / "broken").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "planted" in output
    if detach:
        assert "go on on CAVATICA" in output
        workflow.succeed()
        assert len(workflow.platform.executions()) == 1
    else:
        assert statuses(workflow) == ["ABORTED"]
